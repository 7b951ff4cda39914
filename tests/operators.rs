//! Glisten's own operators against libtorch's, value and gradient, and trainings made of either.

use std::collections::HashMap;
use std::process::{Command, Output};

use glisten::data::Normalization;
use glisten::ops;
use glisten::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor, nn};

use super::support::{skipped, split_bars};

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

/// How far `a` is from `exact`, in root mean square, as a share of that of `exact`.
fn error(a: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(a.size(), exact.size());
    let (a, exact) = (a.detach().to_kind(Kind::Double), exact.detach().to_kind(Kind::Double));
    (a - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]).max(1e-30)
}

/// The unit roundoff of fp32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// The root mean square of the relative rounding error of a sum of so many random products in fp32, added up in registers in
/// runs of 64 and then by runs: a partial sum of k of n terms has the variance k/n of the whole, and each is rounded, by up to one unit
/// and evenly, which has the variance 1/3 (Higham, "Accuracy and Stability of Numerical Algorithms", 2.8 and 4.2).
fn rounding(terms: i64) -> f64 {
    let run = terms.min(64) as f64;
    UNIT * ((run + terms as f64 / run) / 6.0).sqrt()
}

/// How many times larger Winograd's F(4 × 4, 3 × 3) makes the errors of its products, with polynomials at 0, ±5/8, ±3/2 and ∞. In
/// one dimension an output is Σᵢ Aᵢ·(Bᵢ·data)·(Gᵢ·kernel), of six products, each with an error in proportion to its own size, while
/// the result has the size of its three terms; in two dimensions it is that of one, squared. (The points of the paper, 0, ±1,
/// ±2, give 10.8 here.) Gradients go by the transposes, which give the same.
fn amplification() -> f64 {
    let points = [0.0, 0.625, -0.625, 1.5, -1.5_f64];
    let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let mut errors = [0.0; 4];
    for (at, point) in points.into_iter().enumerate() {
        // Lagrange's polynomial of the other points, and what it is at this one.
        let others = points.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| *other);
        let mut polynomial = vec![1.0];
        let mut here = 1.0;
        for other in others {
            let mut next = vec![0.0; polynomial.len() + 1];
            for (power, coefficient) in polynomial.iter().enumerate() {
                next[power] -= other * coefficient;
                next[power + 1] += coefficient;
            }
            polynomial = next;
            here *= point - other;
        }
        let kernel = [1.0, point, point * point].map(|power| power / here);
        for (power, error) in errors.iter_mut().enumerate() {
            *error += point.powi(2 * power as i32) * square(&polynomial) * square(&kernel);
        }
    }
    // At infinity: the whole polynomial x·(x² − 25/64)·(x² − 9/4), and the kernel's last value.
    errors[3] += square(&[1.0, 169.0 / 64.0, 225.0 / 256.0]);
    errors.iter().sum::<f64>() / 4.0 / 3.0
}

/// How far a convolution that adds up `terms` products may be from the exact one, by Winograd's algorithm: twice what random
/// errors come to.
fn convolution_tolerance(terms: i64) -> f64 {
    2.0 * amplification() * rounding(terms)
}

/// `f` of `inputs`, and the gradients of all inputs for one random gradient of the result.
fn with_gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.copy().set_requires_grad(true)).collect();
    let result = f(&inputs);
    let gradient = random(&result.size(), 99).to_kind(result.kind());
    (&result * gradient).sum(result.kind()).backward();
    let mut all = vec![result];
    all.extend(inputs.iter().map(Tensor::grad));
    all
}

/// The same in double precision, by libtorch's own operators.
fn exactly(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> Vec<Tensor> {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.to_kind(Kind::Double)).collect();
    ops::by_parts(|| with_gradients(&inputs, f))
}

/// Checks `f`, value and gradients, against libtorch's own operators in double precision: no error is larger than `tolerance` in
/// root mean square, none of a single value larger than twice that beside the largest value, both unless libtorch's own in fp32
/// are as large.
fn compare(what: &str, inputs: &[Tensor], tolerance: f64, f: impl Fn(&[Tensor]) -> Tensor) {
    let ours = with_gradients(inputs, &f);
    let theirs = ops::by_parts(|| with_gradients(inputs, &f));
    let exact = exactly(inputs, &f);
    for (at, ((a, b), exact)) in ours.iter().zip(&theirs).zip(&exact).enumerate() {
        for (measure, ours, theirs, most) in [
            ("in root mean square", error(a, exact), error(b, exact), tolerance),
            ("at the most", difference(a, exact), difference(b, exact), 2.0 * tolerance),
        ] {
            assert!(
                ours <= most.max(theirs),
                "{what}, {at}: {:.1} units off {measure}, libtorch {:.1}, allowed {:.1}",
                ours / UNIT,
                theirs / UNIT,
                most / UNIT
            );
        }
    }
}

#[test]
fn the_tolerance_of_a_convolution_is_that_of_its_algorithm() {
    // By hand, for the matrices in winograd.h: (24.55 + 6.82 + 6.38 + 19.61) / 4 / 3.
    assert!((amplification() - 4.78).abs() < 0.01, "{}", amplification());
}

#[test]
fn convolutions_are_libtorchs() {
    for (n, channels, maps, height, width, side, stride) in [
        (3, 64, 32, 8, 8, 3, 1),
        (5, 32, 96, 4, 12, 3, 1),
        (1, 128, 128, 16, 16, 3, 1),
        (4, 64, 64, 32, 32, 3, 1),
        (4, 512, 512, 4, 4, 3, 1),
        (2, 64, 128, 8, 8, 3, 2),
        (7, 32, 64, 8, 12, 1, 2),
        (4, 64, 128, 32, 32, 1, 2),
        (2, 3, 64, 32, 32, 3, 1),
        (2, 64, 64, 7, 9, 3, 1),
        (2, 5, 7, 6, 6, 3, 1),
    ] {
        let weight = random(&[maps, channels, side, side], 2);
        let inputs = [random(&[n, channels, height, width], 1), weight];
        let what = format!("{channels} to {maps} of {height} × {width}, {side} × {side}, stride {stride}");
        // By Winograd's algorithm channels are added up for the value, maps for the gradient of the input, tiles for that of the weight;
        // otherwise the terms of a patch, but without an amplification.
        let winograd = side == 3 && stride == 1 && [height, width].iter().all(|size| size % 4 == 0);
        let terms = if winograd { channels.max(maps).max(n * height * width / 16) } else { 64 };
        let tolerance = convolution_tolerance(terms);
        compare(&what, &inputs, tolerance, |t| ops::conv2d(&t[0], &t[1], stride, side / 2));
        compare(&what, &inputs, tolerance, |t| {
            ops::conv2d(&ops::channels_last(&t[0]), &t[1], stride, side / 2)
        });
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
    for (channels, shape) in
        [(48, [9, 48, 8, 8]), (16, [300, 16, 2, 1]), (512, [20, 512, 2, 2]), (7, [4, 7, 3, 3])]
    {
        for (beside, relu) in [(false, false), (false, true), (true, true)] {
            let apply = |norm: &ops::BatchNorm, t: &[Tensor], train| match (beside, relu) {
                (false, false) => norm.plain(&t[0], train),
                (false, true) => norm.relu(&t[0], train),
                _ => norm.add_relu(&t[0], &t[1], train),
            };
            // In one dtype: outputs of training, gradients of inputs and parameters, running statistics, outputs afterwards.
            let run = |kind| {
                let mut variables = nn::VarStore::new(Device::Cpu);
                let norm = ops::BatchNorm::new(&variables.root(), channels);
                if kind == Kind::Double {
                    variables.double();
                }
                let inputs = [random(&shape, 5) * 3.0 + 5.0, random(&shape, 6)].map(|t| t.to_kind(kind));
                let inputs = &inputs[..if beside { 2 } else { 1 }];
                let mut all = with_gradients(inputs, |t| apply(&norm, t, true));
                let mut named: Vec<_> = variables.variables().into_iter().collect();
                named.sort_by(|a, b| a.0.cmp(&b.0));
                for (_, variable) in named {
                    all.push(if variable.requires_grad() { variable.grad() } else { variable });
                }
                all.push(tch::no_grad(|| apply(&norm, inputs, false)));
                all
            };
            let (ours, theirs) = (run(Kind::Float), ops::by_parts(|| run(Kind::Float)));
            let exact = ops::by_parts(|| run(Kind::Double));
            assert_eq!(ours.len(), if beside { 2 } else { 1 } + 6);
            // Sums of so many values at most, whose mean is 5/3 deviations from 0 and is taken off them, which costs as many units;
            // the gradient of the weight is a sum of both signs, as far below the sum of its terms as their number's root.
            let rows = shape[0] * shape[2] * shape[3];
            let tolerance = 2.0 * (1.0 + 5.0 / 3.0) * rounding(rows) * (rows as f64).sqrt().min(24.0);
            for (at, ((a, b), exact)) in ours.iter().zip(&theirs).zip(&exact).enumerate() {
                let [ours, theirs] = [a, b].map(|t| error(t, exact));
                assert!(
                    ours <= tolerance.max(theirs),
                    "{shape:?} {beside} {relu}, {at}: {:.1} units off, libtorch {:.1}, allowed {:.1}",
                    ours / UNIT,
                    theirs / UNIT,
                    tolerance / UNIT
                );
            }
            // The value alone: nothing cancels in it but the mean.
            let value = 2.0 * (1.0 + 5.0 / 3.0) * UNIT;
            assert!(error(&ours[0], &exact[0]) <= value.max(error(&theirs[0], &exact[0])));
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
        // The gradient of the weight is a sum over all places of 16 images, in lanes of 8 or 16.
        let terms = (n * height * width).max(channels * side * side);
        compare(&what, &inputs, 2.0 * rounding(terms) * 4.0, |t| {
            ops::conv_relu_pool(&t[0], &t[1], &t[2], padding)
        });
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

/// A ResNet-18 for images of 16 × 16, with weights that depend on `seed` and on nothing else, its variables by name.
fn resnet(data: &Splits, seed: u64) -> (Box<dyn glisten::model::Model>, Vec<(String, Tensor)>) {
    let variables = nn::VarStore::new(Device::Cpu);
    let model = ResNet18::for_data(data).build(&variables.root());
    let mut named: Vec<_> = variables.variables().into_iter().filter(|(_, v)| v.requires_grad()).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    for (at, (name, variable)) in named.iter().enumerate() {
        if name == "last.bias" {
            let _ = tch::no_grad(|| variable.shallow_clone().zero_());
        } else if variable.dim() > 1 {
            let fan_in = variable.numel() as f64 / variable.size()[0] as f64;
            let weights = random(&variable.size(), 1000 * seed + 100 + at as u64) * (2.0 / fan_in).sqrt();
            tch::no_grad(|| variable.shallow_clone().copy_(&weights));
        }
    }
    (model, named)
}

/// Output, and all gradients, of one pass of a fresh ResNet-18 over `data`.
fn pass(data: &Splits, bf16: bool) -> Vec<Tensor> {
    let (model, named) = resnet(data, 0);
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

/// ResNet-18 in training mode, written down once more by libtorch's operators, in the dtype of `weights`.
fn reference(weights: &HashMap<&str, Tensor>, images: &Tensor) -> Tensor {
    let of = |path: &str, name: &str| &weights[format!("{path}.{name}").as_str()];
    let conv_norm = |path: &str, x: &Tensor, stride: i64| {
        let weight = of(path, "weight");
        let padding = weight.size()[2] / 2;
        let maps = x.conv2d(weight, None::<&Tensor>, stride, padding, 1, 1);
        let [scale, shift] = ["norm.weight", "norm.bias"].map(|name| Some(of(path, name)));
        maps.batch_norm(scale, shift, None::<&Tensor>, None::<&Tensor>, true, 0.1, 1e-5, false)
    };
    let mut maps = conv_norm("stem", images, 1).relu();
    for stage in 1..=4 {
        for block in 1..=2 {
            let at = format!("stage{stage}.block{block}");
            let stride = if stage > 1 && block == 1 { 2 } else { 1 };
            let inner = conv_norm(&format!("{at}.first"), &maps, stride).relu();
            let inner = conv_norm(&format!("{at}.second"), &inner, 1);
            let beside = match stride {
                2 => conv_norm(&format!("{at}.shortcut"), &maps, stride),
                _ => maps.shallow_clone(),
            };
            maps = (inner + beside).relu();
        }
    }
    maps.mean_dim(&[2, 3][..], false, maps.kind()).linear(of("last", "weight"), Some(of("last", "bias")))
}

/// Images in a draw of the comparison below.
const IMAGES: i64 = 4;

/// Output and gradients in the order of names: ours, libtorch's in fp32, and in double precision.
fn three_passes(data: &Splits, seed: u64) -> [Vec<Tensor>; 3] {
    let images = random(&[IMAGES, 1, 16, 16], 1000 * seed + 1);
    let labels = Tensor::arange(IMAGES, (Kind::Int64, Device::Cpu));
    let (model, named) = resnet(data, seed);
    let outputs = model.forward(&images, true);
    outputs.cross_entropy_for_logits(&labels).backward();
    let ours = std::iter::once(outputs).chain(named.iter().map(|(_, variable)| variable.grad())).collect();
    let [theirs, exact] = [Kind::Float, Kind::Double].map(|kind| {
        let weights: HashMap<&str, Tensor> = named
            .iter()
            .map(|(name, v)| (name.as_str(), v.detach().to_kind(kind).copy().set_requires_grad(true)))
            .collect();
        let outputs = reference(&weights, &images.to_kind(kind));
        outputs.cross_entropy_for_logits(&labels).backward();
        std::iter::once(outputs).chain(named.iter().map(|(name, _)| weights[name.as_str()].grad())).collect()
    });
    [ours, theirs, exact]
}

#[test]
fn a_resnet_18_is_the_one_made_of_libtorchs_operators() {
    let data = small(20);
    // Each of 17 layers adds the errors of a convolution of up to 512 channels, backwards twice as many more, at random.
    let value = convolution_tolerance(512) * 17.0_f64.sqrt();
    let gradient = convolution_tolerance(512) * (3.0 * 17.0_f64).sqrt();
    // A ReLU is not continuous backwards: where an activation is 0 but for a rounding error, its whole gradient is there or is not.
    // The last stage has the fewest activations, 512 of 2 × 2 for an image: one that flips is this share of the gradients.
    let flip = 1.0 / (IMAGES as f64 * 512.0 * 4.0).sqrt();
    let mut smallest = f64::INFINITY;
    for seed in 1..=5 {
        let [ours, theirs, exact] = three_passes(&data, seed);
        // 11,173,962 parameters with three input channels, of torchvision's with the CIFAR stem; 1,152 fewer with one.
        assert_eq!(ours[1..].iter().map(|g| g.numel()).sum::<usize>(), 11_173_962 - 1_152);
        let far = error(&ours[0], &exact[0]);
        assert!(
            far <= value.max(error(&theirs[0], &exact[0])),
            "draw {seed}, outputs: {far}, allowed {value}"
        );
        let worst =
            |all: &[Tensor]| all.iter().zip(&exact).skip(1).map(|(a, b)| error(a, b)).fold(0.0, f64::max);
        let (far, theirs) = (worst(&ours), worst(&theirs));
        // libtorch's flip too: on some processors in one draw, on others in another.
        assert!(far <= (6.0 * flip).max(theirs), "draw {seed}, gradients: {far}, libtorch's {theirs}");
        smallest = smallest.min(far);
    }
    // In one draw of so few activations nothing flips, and the gradients are as exact as their arithmetic.
    assert!(smallest <= gradient, "gradients: {smallest}, allowed {gradient}");
}

/// Runs this binary's tests of operators and of exact selections again on the path `name`, in a process of its own.
fn on_path(name: &str) {
    let (there, lacking) = ops::cpu_paths();
    if lacking.iter().any(|path| path.name() == name) {
        let test = format!("operators::every_operator_holds_on_the_{}_path", name.replace('-', "_"));
        return skipped(&test, "this processor lacks the instructions");
    }
    assert!(there.iter().any(|path| path.name() == name));
    let output = again(name, &["operators::", "selection_exactness::"], &["--skip", "_path"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "on {name}:\n{text}{errors}");
    let passed = text.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    assert!(passed.is_some_and(|passed: u32| passed >= 12), "{text}");
}

/// This binary once more, with `GLISTEN_CPU` set: its tests that match one of `filters`.
fn again(path: &str, filters: &[&str], options: &[&str]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(filters)
        .args(options)
        .args(["--test-threads", "1"])
        .env(ops::CPU_PATH_VARIABLE, path)
        .env_remove("GLISTEN_SKIPPED")
        .output()
        .unwrap()
}

#[test]
fn every_operator_holds_on_the_generic_path() {
    on_path("generic");
}

#[test]
fn every_operator_holds_on_the_avx2_path() {
    on_path("avx2");
}

#[test]
fn every_operator_holds_on_the_avx512_path() {
    on_path("avx512");
}

#[test]
fn every_operator_holds_on_the_avx512_bf16_path() {
    on_path("avx512-bf16");
}

#[test]
fn the_variable_names_what_is_used() {
    let (there, lacking) = ops::cpu_paths();
    assert_eq!(there.len() + lacking.len(), 4);
    let expected = match std::env::var(ops::CPU_PATH_VARIABLE) {
        Ok(name) if !name.is_empty() => name,
        _ => there.last().unwrap().name().to_owned(),
    };
    assert_eq!(ops::cpu_path().unwrap().name(), expected);
}

/// What its child does: everything that computes says so, before anything is stored, and nothing aborts.
#[test]
fn an_unknown_path_is_an_error_of_what_computes() {
    const UNKNOWN: &str = "avx1024";
    if std::env::var(ops::CPU_PATH_VARIABLE).as_deref() != Ok(UNKNOWN) {
        let output = again(UNKNOWN, &["operators::an_unknown_path_is_an_error_of_what_computes"], &[]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let says = |error: String| {
        for part in [ops::CPU_PATH_VARIABLE, UNKNOWN, "generic"] {
            assert!(error.contains(part), "{error}");
        }
    };
    let data = split_bars(40);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "none").unwrap();
    says(Trainer::new(LeNet::for_data(&data)).fit(&data, &study).unwrap_err().to_string());
    assert_eq!(study.runs().unwrap().height(), 0);
    says(Select::full().loader(&data.train, &data.validation).unwrap_err().to_string());
    says(ops::Autocast::new(true, Device::Cpu).unwrap_err().to_string());
    // As a wrong shape: a panic, which a cell shows as its error.
    let panic = std::panic::catch_unwind(|| {
        ops::conv2d(&random(&[2, 32, 8, 8], 3), &random(&[32, 32, 3, 3], 4), 1, 1)
    });
    says(*panic.unwrap_err().downcast::<String>().unwrap());
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
