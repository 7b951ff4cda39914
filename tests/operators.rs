//! Glisten's own operators against libtorch's, value and gradient, and trainings made of either.

use glisten::data::Normalization;
use glisten::ops;
use glisten::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, nn};

use super::support::split_bars;

/// Even over (−1.7, 1.7), of deviation 1. Not by libtorch's generator, which tests that run side by side share.
fn random(shape: &[i64], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let half = 3.0_f32.sqrt();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.gen_range(-half..half)).collect();
    Tensor::from_slice(&values).view(shape)
}

/// The largest difference, as a share of the largest value of `b`.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    let (a, b) = (a.detach().to_kind(Kind::Double), b.detach().to_kind(Kind::Double));
    (a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-30)
}

/// `f` of `inputs`, and the gradients of all inputs for one random gradient of the result.
fn with_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.copy().set_requires_grad(true)).collect();
    let result = f(&inputs);
    (&result * random(&result.size(), 99)).sum(Kind::Double).backward();
    let mut all = vec![result];
    all.extend(inputs.iter().map(Tensor::grad));
    all
}

/// Checks `f`, value and gradients, against libtorch's own operators.
fn compare(what: &str, inputs: &[Tensor], tolerance: f64, f: impl Fn(&[Tensor]) -> Tensor) {
    let ours = with_gradients(inputs, &f);
    let theirs = ops::by_parts(|| with_gradients(inputs, &f));
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let difference = difference(a, b);
        assert!(difference < tolerance, "{what}, {at}: {difference}");
    }
}

#[test]
fn convolutions_are_libtorchs() {
    // Winograd's rounding errors are some ten times those of a plain sum.
    for (n, channels, maps, height, width, side, stride) in [
        (3, 64, 32, 8, 8, 3, 1),
        (5, 32, 96, 4, 12, 3, 1),
        (1, 128, 128, 16, 16, 3, 1),
        (2, 64, 128, 8, 8, 3, 2),
        (7, 32, 64, 8, 12, 1, 2),
        (2, 3, 64, 32, 32, 3, 1),
        (2, 64, 64, 7, 9, 3, 1),
        (2, 5, 7, 6, 6, 3, 1),
    ] {
        let inputs = [random(&[n, channels, height, width], 1), random(&[maps, channels, side, side], 2)];
        let what = format!("{channels} to {maps} of {height} × {width}, {side} × {side}, stride {stride}");
        compare(&what, &inputs, 1e-4, |t| ops::conv2d(&t[0], &t[1], stride, side / 2));
        compare(&what, &inputs, 1e-4, |t| ops::conv2d(&ops::channels_last(&t[0]), &t[1], stride, side / 2));
    }
}

#[test]
fn convolutions_that_do_not_fit_are_refused_not_computed() {
    let result = std::panic::catch_unwind(|| {
        ops::conv2d(&random(&[2, 32, 8, 8], 3), &random(&[32, 64, 3, 3], 4), 1, 1)
    });
    assert!(result.is_err());
}

#[test]
fn batch_normalisation_is_libtorchs() {
    for (channels, shape) in [(48, [9, 48, 8, 8]), (16, [300, 16, 2, 1]), (7, [4, 7, 3, 3])] {
        for (beside, relu) in [(false, false), (false, true), (true, true)] {
            let make = || {
                let variables = nn::VarStore::new(Device::Cpu);
                let norm = ops::BatchNorm::new(&variables.root(), channels);
                (variables, norm)
            };
            let inputs = [random(&shape, 5) * 3.0 + 5.0, random(&shape, 6)];
            let apply = |norm: &ops::BatchNorm, t: &[Tensor], train| match (beside, relu) {
                (false, false) => norm.plain(&t[0], train),
                (false, true) => norm.relu(&t[0], train),
                _ => norm.add_relu(&t[0], &t[1], train),
            };
            let inputs = &inputs[..if beside { 2 } else { 1 }];
            let run = || {
                let (variables, norm) = make();
                let mut all = with_gradients(inputs, |t| apply(&norm, t, true));
                let mut named: Vec<_> = variables.variables().into_iter().collect();
                named.sort_by(|a, b| a.0.cmp(&b.0));
                for (_, variable) in named {
                    all.push(if variable.requires_grad() { variable.grad() } else { variable });
                }
                all.push(tch::no_grad(|| apply(&norm, inputs, false)));
                all
            };
            let (ours, theirs) = (run(), ops::by_parts(run));
            assert_eq!(ours.len(), inputs.len() + 6);
            for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                assert!(difference(a, b) < 2e-5, "{shape:?} {beside} {relu}, {at}: {}", difference(a, b));
            }
        }
    }
}

#[test]
fn small_convolutions_with_pooling_are_libtorchs() {
    for (n, channels, maps, height, width, side, padding) in [
        (37, 1, 6, 28, 28, 5, 2),
        (20, 6, 16, 14, 14, 5, 0),
        (128, 3, 6, 32, 32, 5, 0),
        (9, 3, 7, 15, 13, 3, 1),
        (8, 4, 5, 9, 10, 4, 0),
        (1, 2, 1, 4, 5, 1, 0),
    ] {
        let inputs = [
            random(&[n, channels, height, width], 7),
            random(&[maps, channels, side, side], 8),
            random(&[maps], 9),
        ];
        let what = format!("{n} × {channels} to {maps} of {height} × {width}, side {side}");
        compare(&what, &inputs, 1e-5, |t| ops::conv_relu_pool(&t[0], &t[1], &t[2], padding));
    }
}

#[test]
fn a_batch_is_cropped_and_flipped_as_if_by_hand() {
    let images = (random(&[40, 3, 9, 11], 50) * 70.0 + 128.0).to_kind(Kind::Uint8);
    let indices = Tensor::from_slice(&[3_i64, 39, 0, 3, 17]);
    let shifts = [[0_i64, 0, 0], [-4, 4, 0], [2, -3, 1], [4, 4, 1], [0, 0, 1]];
    let labels = Tensor::zeros([40], (Kind::Int64, Device::Cpu));
    let examples = Examples::new(images.shallow_clone(), labels, 1).unwrap();
    let normalization = Normalization::of(&examples);
    let (mean, inverse) = (normalization.mean(), normalization.inverse());
    // Padded by hand, then cut out, then flipped.
    let padded = images.constant_pad_nd([4, 4, 4, 4]);
    let by_hand: Vec<Tensor> = shifts
        .iter()
        .zip(Vec::<i64>::try_from(&indices).unwrap())
        .map(|([y, x, flip], index)| {
            let crop = padded.get(index).narrow(1, 4 + y, 9).narrow(2, 4 + x, 11);
            if *flip == 1 { crop.flip([-1]) } else { crop }
        })
        .collect();
    let expected = normalization.apply(&Tensor::stack(&by_hand, 0));
    let plain = normalization.apply(&images.index_select(0, &indices));
    let shifts = Tensor::from_slice2(&shifts);
    let both = || {
        [Some(&shifts), None]
            .map(|shifts| ops::gather_images(&images, &indices, shifts, mean, inverse).unwrap())
    };
    for got in [both(), ops::by_parts(both)] {
        assert_eq!(got[0], expected);
        assert_eq!(got[1], plain);
    }
    let beyond = Tensor::from_slice(&[40_i64]);
    let error =
        Error::from(ops::gather_images(&images, &beyond, None, mean, inverse).unwrap_err()).to_string();
    assert!(error.contains("40") && error.contains("out of range"), "{error}");
}

/// Images of 16 × 16 in ten classes.
fn small(n: i64) -> Splits {
    let mut data = split_bars(n);
    // Drawn anew, since libtorch's generator is shared.
    let draw = |n: usize, seed| (random(&[n as i64, 1, 28, 28], seed) * 60.0 + 128.0).to_kind(Kind::Uint8);
    data.train.inputs = draw(data.train.len(), 200);
    data.train.labels =
        (draw(data.train.len(), 201).flatten(1, -1).select(1, 0).to_kind(Kind::Int64)).remainder(10);
    let smaller = |examples: &Examples| {
        Examples::new(
            examples.inputs.narrow(2, 0, 16).narrow(3, 0, 16).contiguous(),
            examples.labels.shallow_clone(),
            10,
        )
    };
    data.train = smaller(&data.train).unwrap();
    data.validation = smaller(&data.validation).unwrap();
    data.test = None;
    data
}

/// Output, and all gradients, of one pass of a fresh ResNet-18 over `data`.
fn pass(data: &Splits, bf16: bool) -> Vec<Tensor> {
    let variables = nn::VarStore::new(Device::Cpu);
    let model = ResNet18::for_data(data).build(&variables.root());
    let mut named: Vec<_> = variables.variables().into_iter().filter(|(_, v)| v.requires_grad()).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    for (at, (name, variable)) in named.iter().enumerate() {
        if name == "last.bias" {
            let _ = tch::no_grad(|| variable.shallow_clone().zero_());
        } else if variable.dim() > 1 {
            let fan_in = variable.numel() as f64 / variable.size()[0] as f64;
            let weights = random(&variable.size(), 100 + at as u64) * (2.0 / fan_in).sqrt();
            tch::no_grad(|| variable.shallow_clone().copy_(&weights));
        }
    }
    let images = Normalization::of(&data.train).apply(&data.train.inputs);
    let outputs = {
        let _precision = ops::Autocast::new(bf16, Device::Cpu).unwrap();
        model.forward(&images, true)
    };
    outputs.to_kind(Kind::Float).cross_entropy_for_logits(&data.train.labels).backward();
    let mut all = vec![outputs];
    all.extend(named.into_iter().map(|(_, variable)| variable.grad()));
    all
}

#[test]
fn a_resnet_18_is_the_one_made_of_libtorchs_operators() {
    let data = small(20);
    let (ours, theirs) = (pass(&data, false), ops::by_parts(|| pass(&data, false)));
    // 11,173,962 parameters with three input channels, of torchvision's with the CIFAR stem; 1,152 fewer with one.
    assert_eq!(ours[1..].iter().map(|g| g.numel()).sum::<usize>(), 11_173_962 - 1_152);
    for (at, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let cosine = (a * b).sum(Kind::Double) / (a.norm() * b.norm());
        assert!(cosine.double_value(&[]) > 0.9999, "{at}: {cosine:?}");
    }
    assert!(difference(&ours[0], &theirs[0]) < 1e-3);
}

#[test]
fn one_pass_is_bit_equal_to_the_next_in_either_precision() {
    let data = small(20);
    for bf16 in [false, true] {
        assert_eq!(pass(&data, bf16), pass(&data, bf16));
    }
}

#[test]
fn bf16_comes_near_fp32() {
    let data = small(20);
    let (half, full) = (pass(&data, true), pass(&data, false));
    assert_ne!(half[0], full[0]);
    let difference = difference(&half[0], &full[0]);
    // bf16 keeps 8 bits: 2⁻⁸ a rounding, over some twenty layers.
    assert!(difference < 0.1, "{difference}");
    // And is off again afterwards.
    assert_eq!(pass(&data, false), full);
}
