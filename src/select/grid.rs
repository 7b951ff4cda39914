//! Every strategy with every fraction.

use super::Select;
use crate::error::Result;

/// A list of selections to compare, from [`Select::grid`].
#[derive(Debug, Clone, PartialEq)]
pub struct Grid(Vec<Select>);

impl Grid {
    pub(super) fn new(fractions: &[f64], strategies: &[&str]) -> Result<Self> {
        let mut fractions = fractions.to_vec();
        fractions.sort_by(|a, b| b.total_cmp(a));
        let pairs =
            fractions.iter().flat_map(|&fraction| strategies.iter().map(move |name| (name, fraction)));
        Ok(Self(pairs.map(|(name, fraction)| Select::named(name, fraction)).collect::<Result<_>>()?))
    }

    /// Puts the full data in front, against which the others are measured.
    #[must_use]
    pub fn with_full(mut self) -> Self {
        if !self.0.contains(&Select::full()) {
            self.0.insert(0, Select::full());
        }
        self
    }
}

impl IntoIterator for Grid {
    type Item = Select;
    type IntoIter = std::vec::IntoIter<Select>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Grid {
    type Item = &'a Select;
    type IntoIter = std::slice::Iter<'a, Select>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Select;

    #[test]
    fn a_grid_starts_with_full_data_and_goes_down_in_fractions() {
        let grid = Select::grid(&[0.1, 0.5], &["glister", "fresh-random"]).unwrap().with_full();
        let names: Vec<_> = grid.into_iter().map(|select| select.to_string()).collect();
        assert_eq!(names, ["full", "glister 0.5", "fresh-random 0.5", "glister 0.1", "fresh-random 0.1"]);
    }

    #[test]
    fn wrong_names_and_fractions_are_said() {
        let message = Select::grid(&[0.5], &["glistr"]).unwrap_err().to_string();
        assert!(message.contains("did you mean 'glister'"), "{message}");
        for fraction in [0.0, -0.1, 1.1, f64::NAN] {
            let message = Select::grid(&[fraction], &["glister"]).unwrap_err().to_string();
            assert!(message.contains("fraction") && message.contains("above 0"), "{message}");
        }
    }
}
