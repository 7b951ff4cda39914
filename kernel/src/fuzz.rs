//! A driver for tests with random input. An ordinary run tries a fixed number of inputs, always the same ones; with
//! `GLISTEN_TEST_FULL=1` it goes on with new ones for a minute, with `GLISTEN_FUZZ_SECONDS=600` for ten.
//!
//! Where an input fails its seed is printed, and `GLISTEN_FUZZ_SEED=SEED` tries that one alone. Where one ends the process, so that
//! nothing is printed, `GLISTEN_FUZZ_TRACE=1` names each seed before it is tried.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Random numbers (SplitMix64), the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// Those that `seed` gives.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.number() % n as u64).expect("below n")
    }

    /// A number from 1 to about `most`, the small ones as often as the large ones.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        let bits = self.below(usize::BITS as usize - most.leading_zeros() as usize);
        (1 << bits) + self.below(1 << bits)
    }

    /// One of `all`.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Tries `test` with one source of random numbers after the other.
pub(crate) fn fuzz(ordinary: u64, mut test: impl FnMut(&mut Random)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let traced = std::env::var_os("GLISTEN_FUZZ_TRACE").is_some();
    let mut attempt = |seed: u64| {
        if traced {
            eprintln!("GLISTEN_FUZZ_SEED={seed}");
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&mut Random::of(seed)))) {
            eprintln!("the input that failed: GLISTEN_FUZZ_SEED={seed}");
            resume_unwind(panic);
        }
    };
    if let Some(seed) = number("GLISTEN_FUZZ_SEED") {
        attempt(seed);
        return;
    }
    (0..ordinary).for_each(&mut attempt);
    let is_full = std::env::var("GLISTEN_TEST_FULL").is_ok_and(|value| value == "1");
    let seconds = number("GLISTEN_FUZZ_SECONDS").or(is_full.then_some(60));
    let Some(time) = seconds.map(Duration::from_secs) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let mut seed = u64::try_from(now.as_millis()).expect("before the year 500 million") << 20;
    let (first, started) = (seed, Instant::now());
    while started.elapsed() < time {
        attempt(seed);
        seed += 1;
    }
    eprintln!("{} inputs in {} s, and {ordinary} that are always tried", seed - first, time.as_secs());
}
