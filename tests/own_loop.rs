//! A training loop of one's own: what an epoch hands out, and what it wants to be told.

use std::collections::HashMap;

use glisten::prelude::*;
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Reduction, Tensor, nn};

use super::support::split_bars;

/// One output, whatever the classes.
struct OneOutput(nn::Linear);

impl Model for OneOutput {
    fn features(&self, inputs: &Tensor, _train: bool) -> Tensor {
        inputs.flatten(1, -1)
    }

    fn logits(&self, features: &Tensor) -> Tensor {
        features.apply(&self.0)
    }
}

fn lenet(data: &Splits) -> (nn::VarStore, Box<dyn Model>) {
    let variables = nn::VarStore::new(Device::Cpu);
    tch::manual_seed(0);
    let model = LeNet::for_data(data).build(&variables.root());
    (variables, model)
}

/// What the tests want of each strategy that has to be told.
fn told() -> [Select; 4] {
    let cheap = Select::glister(0.25).remembered(true).select_every(1);
    [Select::auto(0.25), Select::weighted_draw(0.25, Default::default()), Select::info_batch(0.25), cheap]
}

/// Goes through an epoch, tells of those batches that `tells` says (counted from 0), and returns all.
fn go_through(loader: &mut Loader, model: &dyn Model, tells: impl Fn(usize) -> bool) -> Result<Vec<Batch>> {
    let mut epoch = loader.epoch(model)?;
    let mut batches = Vec::new();
    while let Some(mut batch) = epoch.next().transpose()? {
        if tells(batches.len()) {
            let features = model.features(&batch.inputs, true);
            let logits = model.logits(&features);
            batch.weights = epoch.observe(&batch, &BatchStats { features: &features, logits: &logits })?;
        }
        batches.push(batch);
    }
    Ok(batches)
}

#[test]
fn an_error_within_an_epoch_is_handed_out_and_not_taken_for_its_end() {
    let data = split_bars(600);
    let variables = nn::VarStore::new(Device::Cpu);
    let n_values = data.input_shape().n_values();
    let model = OneOutput(nn::linear(variables.root() / "last", n_values, 1, Default::default()));
    // This strategy asks the model within the epoch, and labels up to 9 have no logit.
    let mut loader = Select::hardest_half(0.25).loader(&data.train, &data.validation).unwrap().batch_size(20);
    let (mut n_batches, mut errors) = (0, Vec::new());
    for batch in loader.epoch(&model).unwrap() {
        match batch {
            Ok(_) => n_batches += 1,
            Err(error) => errors.push(error),
        }
    }
    assert_eq!((n_batches, errors.len()), (0, 1), "said once, and then the epoch is over");
    assert!(matches!(errors[0], Error::Torch(_)), "{}", errors[0]);
    // Other strategies ask at its beginning.
    for select in [Select::glister(0.25), Select::grad_match(0.25)] {
        let mut loader = select.loader(&data.train, &data.validation).unwrap();
        assert!(loader.epoch(&model).is_err(), "{select}");
    }
}

#[test]
fn batches_hold_inputs_labels_and_weights_of_the_samples_they_name() {
    let data = split_bars(600); // 480 to train on
    let (_variables, model) = lenet(&data);
    for select in [Select::full(), Select::fresh_random(0.25), Select::hardest_half(0.25)] {
        let mut loader = select.loader(&data.train, &data.validation).unwrap().batch_size(50);
        let mut n_samples = 0;
        for batch in loader.epoch(model.as_ref()).unwrap() {
            let Batch { inputs, labels, weights, indices } = batch.unwrap();
            let n = indices.size()[0];
            assert_eq!((inputs.size(), inputs.kind()), (vec![n, 1, 28, 28], Kind::Float));
            assert_eq!(labels, data.train.labels.index_select(0, &indices));
            assert_eq!(weights, Tensor::ones([n], (Kind::Float, Device::Cpu)), "{select}");
            n_samples += n;
        }
        assert_eq!(n_samples, (480.0 * select.fraction()) as i64, "{select}");
    }
}

/// GRAD-MATCH and InfoBatch are biased without their weights.
#[test]
fn the_weights_of_a_selection_come_with_its_samples() {
    let data = split_bars(600);
    for select in [Select::grad_match(0.25).select_every(1), Select::info_batch(0.5)] {
        let (variables, model) = lenet(&data);
        let mut sgd = nn::sgd(0.9, 0.0, 0.0, true).build(&variables, 0.01).unwrap();
        let mut loader =
            select.loader(&data.train, &data.validation).unwrap().epochs(8).batch_size(32).seed(3);
        let mut n_weighed = 0;
        for _ in 0..4 {
            let mut epoch = loader.epoch(model.as_ref()).unwrap();
            let expected: HashMap<i64, f32> = match epoch.selection.as_ref() {
                Some(selection) => {
                    let n = selection.indices.size()[0] as usize;
                    let weights = selection.weights.as_ref().map(|weights| Vec::try_from(weights).unwrap());
                    let indices = Vec::<i64>::try_from(&selection.indices).unwrap();
                    indices.into_iter().zip(weights.unwrap_or_else(|| vec![1.0; n])).collect()
                }
                None => HashMap::new(),
            };
            while let Some(batch) = epoch.next().transpose().unwrap() {
                let features = model.features(&batch.inputs, true);
                let logits = model.logits(&features);
                let stats = BatchStats { features: &features, logits: &logits };
                let weights = epoch.observe(&batch, &stats).unwrap();
                assert_eq!(weights, batch.weights, "{select}: no label was found wrong");
                let of_each = Vec::<f32>::try_from(&weights).unwrap();
                for (at, weight) in Vec::<i64>::try_from(&batch.indices).unwrap().into_iter().zip(of_each) {
                    assert_eq!(Some(&weight), expected.get(&at), "{select}");
                    n_weighed += usize::from(weight != 1.0);
                }
                let losses =
                    logits.cross_entropy_loss::<Tensor>(&batch.labels, None, Reduction::None, -100, 0.0);
                sgd.backward_step(&(losses * weights).mean(Kind::Float));
            }
        }
        assert!(n_weighed > 100, "{select}: {n_weighed} samples weighed");
    }
}

#[test]
fn a_strategy_that_was_not_told_what_its_steps_saw_says_so_at_the_next_epoch() {
    let data = split_bars(600); // 120 of 480 to train on, in 3 batches
    let (_variables, model) = lenet(&data);
    for select in told() {
        let loader = || select.loader(&data.train, &data.validation).unwrap().batch_size(40);
        // Nothing, only one of the two before the last, and only the last.
        let too_little: [fn(usize) -> bool; 3] = [|_| false, |at| at == 0, |at| at == 2];
        for tells in too_little {
            let mut loader = loader();
            assert_eq!(go_through(&mut loader, model.as_ref(), tells).unwrap().len(), 3);
            let message = loader.epoch(model.as_ref()).unwrap_err().to_string();
            for said in ["epoch 1", select.name(), "epoch.observe(&batch, &BatchStats"] {
                assert!(message.contains(said), "{message}");
            }
        }
        // All; and all but the last, which a loop may have left.
        let enough: [fn(usize) -> bool; 2] = [|_| true, |at| at < 2];
        for tells in enough {
            let mut loader = loader();
            for _ in 0..3 {
                go_through(&mut loader, model.as_ref(), tells).unwrap();
            }
        }
        // An epoch of one batch is told of, too; one of which nothing was asked need not be.
        let mut single = loader().batch_size(500);
        drop(single.epoch(model.as_ref()).unwrap());
        go_through(&mut single, model.as_ref(), |_| false).unwrap();
        assert!(single.epoch(model.as_ref()).is_err(), "{select}");
    }
    for select in
        [Select::full(), Select::fresh_random(0.25), Select::glister(0.25), Select::hardest_half(0.25)]
    {
        let mut loader = select.loader(&data.train, &data.validation).unwrap();
        for _ in 0..2 {
            go_through(&mut loader, model.as_ref(), |_| false).unwrap();
        }
    }
}
