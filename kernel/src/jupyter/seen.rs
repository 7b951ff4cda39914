//! Which signed messages have come already: whoever overhears one, having no key, could send it again.

use std::collections::{HashSet, VecDeque};

/// A signature, as bytes.
type Signature = [u8; 32];

/// How many signatures are remembered, as many as `jupyter_client` does: 4 MB, or 18 hours of one message a second.
const REMEMBERED: usize = 1 << 16;

/// The signatures that came last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    set: HashSet<Signature>,
    /// The oldest first.
    order: VecDeque<Signature>,
}

impl Seen {
    /// Whether `signature` has not come before; it has from now on.
    pub(super) fn is_new(&mut self, signature: Signature) -> bool {
        if !self.set.insert(signature) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(number: usize) -> Signature {
        let mut signature = [0; 32];
        signature[..8].copy_from_slice(&number.to_le_bytes());
        signature
    }

    #[test]
    fn the_last_ones_are_known_and_no_more_are_kept() {
        let mut seen = Seen::default();
        for number in 0..REMEMBERED + 10 {
            assert!(seen.is_new(signature(number)));
        }
        assert!((10..REMEMBERED + 10).all(|number| !seen.is_new(signature(number))));
        assert_eq!((seen.set.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(seen.is_new(signature(0)), "the oldest is forgotten");
    }
}
