//! Stochastic gradient descent with Nesterov momentum, over all parameters in one pass.

use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::error::{Error, Result};
use crate::ops;

/// The optimiser's settings; a [`Schedule`](super::Schedule) says how the learning rate moves below its highest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// The highest learning rate; with the cosine schedule, that of the first step.
    pub learning_rate: f64,
    /// Momentum, in [0, 1).
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// Weight decay (the L2 penalty's factor).
    pub weight_decay: f64,
}

impl Default for Sgd {
    /// 0.05, momentum 0.9 after Nesterov, weight decay 5e-4.
    fn default() -> Self {
        Self { learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5e-4 }
    }
}

impl Sgd {
    pub(super) fn check(&self) -> Result<()> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::argument("learning_rate", "a positive number", self.learning_rate));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::argument(
                "momentum",
                "a number from 0 up to, not including, 1",
                self.momentum,
            ));
        }
        if self.nesterov && self.momentum == 0.0 {
            return Err(Error::argument(
                "momentum",
                "a number above 0, which Nesterov's needs",
                self.momentum,
            ));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(Error::argument("weight_decay", "0 or a positive number", self.weight_decay));
        }
        Ok(())
    }
}

/// [`Sgd`] at work on the variables of one model. Its whole state is a momentum tensor for each variable.
pub(super) struct Optimizer {
    sgd: Sgd,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    momenta: Vec<Tensor>,
}

impl Optimizer {
    /// Over all trainable variables of `variables`, in the order of their names, at rest.
    pub(super) fn new(sgd: Sgd, variables: &nn::VarStore) -> Self {
        let mut named: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
        named.retain(|(_, variable)| variable.requires_grad());
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let momenta = named.iter().map(|(_, variable)| variable.detach().zeros_like()).collect();
        let (names, parameters) = named.into_iter().unzip();
        Self { sgd, names, parameters, momenta }
    }

    /// The state by the variables' names, for a checkpoint; shares storage with the optimiser.
    pub(super) fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.momenta)
    }

    /// Takes the state of a checkpoint over.
    ///
    /// # Errors
    /// [`Error::Argument`] if a variable's tensor is not there or has another shape; nothing is changed then.
    pub(super) fn restore(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let mut found = Vec::with_capacity(self.names.len());
        for (name, momentum) in self.state() {
            let tensor = state.iter().find(|(other, _)| other == name).map(|(_, tensor)| tensor);
            let got = tensor.map_or("none".to_owned(), |tensor| format!("{:?}", tensor.size()));
            match tensor {
                Some(tensor) if tensor.size() == momentum.size() => found.push(tensor.shallow_clone()),
                _ => {
                    let expected = format!("a tensor of shape {:?}", momentum.size());
                    return Err(Error::argument(format!("momentum of {name}"), expected, got));
                }
            }
        }
        tch::no_grad(|| {
            for (momentum, tensor) in self.momenta.iter_mut().zip(&found) {
                momentum.f_copy_(tensor)?;
            }
            Ok(())
        })
    }

    /// Forgets all gradients, so that the next backward pass writes instead of adding.
    pub(super) fn zero_grad(&mut self) -> Result<()> {
        Ok(ops::clear_gradients(&self.parameters)?)
    }

    /// Scales all gradients down together where their global norm (the 2-norm of all of them in a row) is above
    /// `max_norm`, as PyTorch's `clip_grad_norm_` does.
    pub(super) fn clip_grad_norm(&self, max_norm: f64) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let mut gradients: Vec<Tensor> = self.parameters.iter().map(Tensor::grad).collect();
        gradients.retain(Tensor::defined);
        if gradients.is_empty() {
            return Ok(());
        }
        let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
        let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
        // Stays on the device: no wait for the norm's value.
        let factor = ((norm + 1e-6).f_reciprocal()? * max_norm).f_clamp_max(1.0)?;
        for gradient in &mut gradients {
            let _ = gradient.f_mul_(&factor)?;
        }
        Ok(())
    }

    /// One step with this learning rate. Variables without a gradient stay as they are.
    pub(super) fn step(&mut self, learning_rate: f64) -> Result<()> {
        let Sgd { momentum, nesterov, weight_decay, .. } = self.sgd;
        let rates = ops::SgdRates { learning_rate, momentum, nesterov, weight_decay };
        Ok(ops::sgd_step(&self.parameters, &self.momenta, rates)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn variables(values: &[f32]) -> (nn::VarStore, Tensor) {
        let variables = nn::VarStore::new(Device::Cpu);
        let mut w = variables.root().zeros("w", &[values.len() as i64]);
        tch::no_grad(|| w.copy_(&Tensor::from_slice(values)));
        (variables, w)
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::<f64>::try_from(tensor.detach().to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn steps_are_pytorchs() {
        // Three steps of torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=0.01) on the sum of squares of [1, -2, 3], with
        // Nesterov's momentum and without.
        let expected = [
            (true, [-0.111_651_077_866_554_26, 0.223_302_155_733_108_52, -0.334_953_248_500_824]),
            (false, [0.058_194_220_066_070_56, -0.116_388_440_132_141_1, 0.174_582_600_593_566_9]),
        ];
        for (nesterov, expected) in expected {
            let (variables, w) = variables(&[1.0, -2.0, 3.0]);
            let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01 };
            let mut optimizer = Optimizer::new(sgd, &variables);
            for _ in 0..3 {
                optimizer.zero_grad().unwrap();
                w.square().sum(Kind::Float).backward();
                optimizer.step(0.1).unwrap();
            }
            for (got, expected) in values(&w).into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-6, "{nesterov}: {got} instead of {expected}");
            }
        }
    }

    #[test]
    fn gradients_are_clipped_by_their_global_norm() {
        // torch.nn.utils.clip_grad_norm_ of gradients [3, 4] and [12], norm 13, to 6.5; to 20 they stay.
        for (max_norm, expected) in [(6.5, [1.5, 2.0, 6.0]), (20.0, [3.0, 4.0, 12.0])] {
            let (store, w) = variables(&[3.0, 4.0]);
            let mut other = store.root().zeros("other", &[1]);
            let unused = store.root().zeros("unused", &[1]);
            let _ = tch::no_grad(|| other.fill_(12.0));
            ((w.square().sum(Kind::Float) + other.square().sum(Kind::Float)) / 2.0).backward();
            let mut optimizer = Optimizer::new(Sgd::default(), &store);
            optimizer.clip_grad_norm(max_norm).unwrap();
            let got = [values(&w.grad()), values(&other.grad())].concat();
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}");
            // A variable without a gradient stays as it is.
            optimizer.step(0.1).unwrap();
            assert_eq!(values(&unused), [0.0]);
        }
    }

    #[test]
    fn a_restored_optimizer_goes_on_as_the_first() {
        let run = |from: Option<Vec<(String, Tensor)>>, start: &[f32]| {
            let (variables, w) = variables(start);
            let mut optimizer = Optimizer::new(Sgd::default(), &variables);
            if let Some(state) = from {
                optimizer.restore(&state).unwrap();
            }
            w.square().sum(Kind::Float).backward();
            optimizer.step(0.1).unwrap();
            let state: Vec<_> = optimizer.state().map(|(n, t)| (n.to_owned(), t.copy())).collect();
            (values(&w), state)
        };
        let (after_one, state) = run(None, &[1.0, 2.0]);
        let start: Vec<f32> = after_one.iter().map(|&v| v as f32).collect();
        let (with_momentum, _) = run(Some(state), &start);
        let (without, _) = run(None, &start);
        assert_ne!(with_momentum, without);

        let (store, w) = variables(&[1.0, 2.0]);
        let mut optimizer = Optimizer::new(Sgd::default(), &store);
        for _ in 0..2 {
            optimizer.zero_grad().unwrap();
            w.square().sum(Kind::Float).backward();
            optimizer.step(0.1).unwrap();
        }
        assert_eq!(values(&w), with_momentum);
        let message = optimizer.restore(&[("w".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu)))]);
        let message = message.unwrap_err().to_string();
        assert!(
            message.contains("momentum of w") && message.contains("[2]") && message.contains("[3]"),
            "{message}"
        );
    }
}
