//! Orthogonal matching pursuit with non-negative weights, from products alone: the atoms themselves are not looked at.
//!
//! Rubinstein, Zibulevsky, Elad: "Efficient Implementation of the K-SVD Algorithm using Batch Orthogonal Matching Pursuit",
//! Technion CS-2008-08: the Gram matrix is given, and its Cholesky factor grows by a row a pick. That weights stay positive is
//! seen to as Lawson and Hanson do ("Solving Least Squares Problems", 1974, chapter 23): an atom whose weight would turn
//! negative leaves, its row is taken out of the factor by rotations, and it may come back like any other.

/// Atoms in the order of picking, each once, and by what each counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matched {
    /// Their numbers.
    pub(super) atoms: Vec<usize>,
    /// Their weights, above 0; 0 for those that only fill up.
    pub(super) weights: Vec<f64>,
}

/// A correlation that is this small beside the largest is none.
const NO_CORRELATION: f64 = 1e-10;
/// An atom of whose square this share or less is new is a combination of those that are in.
const DEPENDENT: f64 = 1e-12;

/// Picks min(k, n) atoms a_j and weights w > 0 that bring ‖Σ w_j a_j − t‖² + `ridge`·‖w‖² down: at each step the atom that has
/// the highest product with what is left of t comes in (of equals that with the lower number), and all weights are computed
/// anew. Where no atom has a positive product any more, no weights can be better; then those that are missing come in by their
/// products, the highest first, with weight 0.
///
/// `gram` is a_i·a_j, `[n, n]` row by row; `correlations` a_j·t, `[n]`; `ridge` is 0 or more. Takes n·k²/2 + k³/3
/// multiply-adds, as long as hardly any atom leaves.
pub(super) fn matching_pursuit(gram: &[f64], correlations: &[f64], k: usize, ridge: f64) -> Matched {
    let n = correlations.len();
    let k = k.min(n);
    let largest = correlations.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let mut inside = Inside { gram, correlations, ridge, atoms: vec![], weights: vec![], factor: vec![] };
    let mut is_inside = vec![false; n];
    let mut is_barred = vec![false; n];
    let mut left = correlations.to_vec(); // a_j·(t − Σ w_i a_i)
    // Each step lowers the error, so that none comes twice; rounding could still make a few atoms take turns for ever.
    for _ in 0..3 * n {
        if inside.atoms.len() == k {
            break;
        }
        let Some(best) = highest(&left, |atom| !is_inside[atom] && !is_barred[atom]) else { break };
        if left[best] <= NO_CORRELATION * largest {
            break;
        }
        if !inside.add(best) {
            is_barred[best] = true;
            continue;
        }
        is_inside[best] = true;
        for gone in inside.balance() {
            is_inside[gone] = false;
            // The product of one that leaves as soon as it came is rounding.
            is_barred[gone] |= gone == best;
        }
        left = inside.products_left();
    }
    let Inside { mut atoms, mut weights, .. } = inside;
    let mut rest: Vec<usize> = (0..n).filter(|&atom| !is_inside[atom]).collect();
    rest.sort_by(|&a, &b| left[b].total_cmp(&left[a]));
    atoms.extend(rest.into_iter().take(k - atoms.len()));
    weights.resize(k, 0.0);
    Matched { atoms, weights }
}

/// Where `values` is highest among the places allowed; of equals the first.
fn highest(values: &[f64], is_allowed: impl Fn(usize) -> bool) -> Option<usize> {
    let places = (0..values.len()).filter(|&place| is_allowed(place));
    places.fold(None, |best: Option<usize>, place| match best {
        Some(best) if values[best] >= values[place] => Some(best),
        _ => Some(place),
    })
}

/// The atoms picked, with the weights that are best for them.
struct Inside<'a> {
    gram: &'a [f64],
    correlations: &'a [f64],
    ridge: f64,
    atoms: Vec<usize>,
    weights: Vec<f64>,
    /// The rows of L, up to the diagonal: L Lᵀ = G + ridge·I over `atoms`.
    factor: Vec<Vec<f64>>,
}

impl Inside<'_> {
    fn product(&self, a: usize, b: usize) -> f64 {
        self.gram[a * self.correlations.len() + b]
    }

    /// Takes an atom in, with weight 0. `false`, and nothing is changed, if it is a combination of the others.
    fn add(&mut self, atom: usize) -> bool {
        let mut row: Vec<f64> = Vec::with_capacity(self.atoms.len() + 1);
        for (other, above) in self.atoms.iter().zip(&self.factor) {
            let known = dot(above, &row);
            row.push((self.product(*other, atom) - known) / above[row.len()]);
        }
        let square = self.product(atom, atom) + self.ridge;
        let new = square - dot(&row, &row);
        if new <= DEPENDENT * square {
            return false;
        }
        row.push(new.sqrt());
        self.factor.push(row);
        self.atoms.push(atom);
        self.weights.push(0.0);
        true
    }

    /// Gives the atoms inside their best weights. Those that would need a negative one leave; they are returned.
    fn balance(&mut self) -> Vec<usize> {
        let mut gone = Vec::new();
        loop {
            let best = self.solve();
            // How far the weights can go towards the best ones until the first is 0.
            let share = |place: usize| self.weights[place] / (self.weights[place] - best[place]);
            let first = (0..best.len())
                .filter(|&place| best[place] <= 0.0)
                .min_by(|&a, &b| share(a).total_cmp(&share(b)));
            let Some(first) = first else {
                self.weights = best;
                return gone;
            };
            // One that came in with weight 0 and is to have none yet divides 0 by 0.
            let step = if self.weights[first] > 0.0 { share(first) } else { 0.0 };
            for (weight, best) in self.weights.iter_mut().zip(&best) {
                *weight += step * (best - *weight);
            }
            gone.push(self.remove(first));
        }
    }

    /// (G + ridge·I)⁻¹ c over the atoms inside, by the factor.
    fn solve(&self) -> Vec<f64> {
        let mut solution: Vec<f64> = Vec::with_capacity(self.atoms.len());
        for (&atom, row) in self.atoms.iter().zip(&self.factor) {
            let known = dot(row, &solution);
            solution.push((self.correlations[atom] - known) / row[solution.len()]);
        }
        for (place, row) in self.factor.iter().enumerate().rev() {
            solution[place] /= row[place];
            let value = solution[place];
            for (above, factor) in solution.iter_mut().zip(&row[..place]) {
                *above -= factor * value;
            }
        }
        solution
    }

    /// Takes out the atom at `place`, and its row of the factor: rotations of neighbouring columns bring what then stands to the
    /// right of the diagonal back to 0.
    fn remove(&mut self, place: usize) -> usize {
        self.weights.remove(place);
        self.factor.remove(place);
        for column in place..self.factor.len() {
            let (at, right) = (self.factor[column][column], self.factor[column][column + 1]);
            let length = at.hypot(right);
            let (cos, sin) = (at / length, right / length);
            for row in &mut self.factor[column..] {
                let (at, right) = (row[column], row[column + 1]);
                row[column] = cos * at + sin * right;
                row[column + 1] = cos * right - sin * at;
            }
            self.factor[column].truncate(column + 1);
        }
        self.atoms.remove(place)
    }

    /// a_j·(t − Σ w_i a_i) of all atoms.
    fn products_left(&self) -> Vec<f64> {
        let mut left = self.correlations.to_vec();
        let n = left.len();
        for (&atom, weight) in self.atoms.iter().zip(&self.weights) {
            for (left, product) in left.iter_mut().zip(&self.gram[atom * n..][..n]) {
                *left -= weight * product;
            }
        }
        left
    }
}

/// The product of the places that both have.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn products(atoms: &[Vec<f64>], target: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let gram = atoms.iter().flat_map(|a| atoms.iter().map(|b| dot(a, b))).collect();
        (gram, atoms.iter().map(|a| dot(a, target)).collect())
    }

    /// Small integers: 12 atoms and a target of 9 numbers.
    fn problem(a: i64, b: i64) -> (Vec<f64>, Vec<f64>) {
        let atom =
            |i: i64| (0..9).map(|j| ((a * i * i + 13 * j * j + 5 * i * j + 3 * i) % 19 - 6) as f64).collect();
        let atoms: Vec<Vec<f64>> = (0..12).map(atom).collect();
        let target: Vec<f64> = (0..9_i64).map(|j| ((b * j * j + 4 * j) % 11 + 1) as f64).collect();
        products(&atoms, &target)
    }

    fn assert_is(matched: &Matched, atoms: &[usize], weights: &[f64]) {
        assert_eq!(matched.atoms, atoms);
        assert_eq!(matched.weights.len(), weights.len());
        for (weight, expected) in matched.weights.iter().zip(weights) {
            assert!((weight - expected).abs() < 1e-9, "{:?}", matched.weights);
        }
    }

    /// sklearn.linear_model.orthogonal_mp_gram(A @ A.T, A @ t, n_nonzero_coefs=5) of scikit-learn 1.9.1, where no weight turns
    /// negative on the way; the order is that of the pursuit written down in NumPy as below.
    #[test]
    fn without_ridge_it_is_scikit_learns() {
        let (gram, correlations) = problem(1, 3);
        let weights =
            [0.508506860968303, 0.36879091615194, 0.210914672485853, 0.432832784702445, 0.273403114250842];
        assert_is(&matching_pursuit(&gram, &correlations, 5, 0.0), &[11, 0, 6, 2, 4], &weights);
    }

    /// Against NumPy, from scratch at each pick: argmax of A @ (t − A.T @ w) over those outside, then scipy.optimize.nnls (SciPy
    /// 1.17.1) of [A_S.T; sqrt(ridge)·I] against [t; 0], and out with whatever has weight 0. Two atoms leave on the way in the
    /// first two, three in the last, which ends with five weights and is filled up.
    #[test]
    fn with_ridge_it_is_nnls_from_scratch() {
        let (gram, correlations) = problem(10, 2);
        let atoms = [6, 0, 3, 5, 9, 10, 2];
        let weights = [
            0.47034291991232086,
            0.2624637095386277,
            0.5790915623341872,
            0.17227346800274157,
            0.38550596986465413,
            0.23816657108358555,
            0.24923406859291275,
        ];
        assert_is(&matching_pursuit(&gram, &correlations, 7, 20.0), &atoms, &weights);
        let weights = [
            0.6493580912870907,
            0.004016054585118822,
            0.6499223537903637,
            0.045764853981957516,
            0.6666893547874353,
            0.48017353297469517,
            0.8251709150813001,
        ];
        assert_is(&matching_pursuit(&gram, &correlations, 7, 0.5), &atoms, &weights);
        let (gram, correlations) = problem(10, 1);
        let weights = [
            0.5830218548796614,
            0.5224967666242386,
            0.6259651972775961,
            0.7138507923023643,
            0.8796197418827427,
            0.0,
            0.0,
        ];
        assert_is(&matching_pursuit(&gram, &correlations, 7, 0.5), &[6, 3, 10, 9, 2, 0, 7], &weights);
    }

    /// Karush, Kuhn and Tucker: of all non-negative weights those are best under which the derivative is 0 where the weight is
    /// positive, and not negative elsewhere. With all atoms allowed, the pursuit has to end there.
    #[test]
    fn it_ends_at_the_best_non_negative_weights() {
        for seed in 0..60 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (n, d) = (rng.gen_range(1..60), rng.gen_range(1..40));
            let ridge = [1e-3, 0.5, 10.0][seed as usize % 3];
            let mut numbers = |n| (0..n).map(|_| rng.gen_range(-1.0..1.0)).collect::<Vec<f64>>();
            let atoms: Vec<Vec<f64>> = (0..n).map(|_| numbers(d)).collect();
            let (gram, correlations) = products(&atoms, &numbers(d));
            let matched = matching_pursuit(&gram, &correlations, n, ridge);
            let mut sorted = matched.atoms.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..n).collect::<Vec<_>>(), "seed {seed}");
            for (&atom, &weight) in matched.atoms.iter().zip(&matched.weights) {
                let of_all: f64 = matched
                    .atoms
                    .iter()
                    .zip(&matched.weights)
                    .map(|(other, w)| w * gram[atom * n + other])
                    .sum();
                let downhill = correlations[atom] - of_all - ridge * weight;
                assert!(downhill < 1e-8 && (weight == 0.0 || downhill > -1e-8), "seed {seed}: {downhill}");
                assert!(weight >= 0.0);
            }
        }
    }

    /// Twins, and atoms that are sums of others: no weight is lost in rounding, none is endless.
    #[test]
    fn dependent_atoms_only_fill_up() {
        let (one, two) = (vec![1.0, 0.0, 0.0], vec![0.0, 2.0, 0.0]);
        let sum = vec![0.5, 1.0, 0.0];
        let (gram, correlations) = products(&[one.clone(), two.clone(), one, sum, two], &[3.0, 2.0, 1.0]);
        let matched = matching_pursuit(&gram, &correlations, 5, 0.0);
        assert_eq!(matched.atoms.len(), 5);
        assert_eq!(matched.weights.iter().filter(|&&weight| weight > 0.0).count(), 2);
        let sum_of_first: f64 =
            matched.atoms.iter().zip(&matched.weights).map(|(&atom, w)| w * gram[atom]).sum();
        assert!((sum_of_first - 3.0).abs() < 1e-9);
    }

    #[test]
    fn where_all_atoms_point_away_the_nearest_fill_up() {
        let (gram, correlations) = products(&[vec![-3.0], vec![-1.0], vec![-2.0]], &[1.0]);
        assert_is(&matching_pursuit(&gram, &correlations, 2, 0.0), &[1, 2], &[0.0, 0.0]);
        assert_is(&matching_pursuit(&[], &[], 3, 0.0), &[], &[]);
    }
}
