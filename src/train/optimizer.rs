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
