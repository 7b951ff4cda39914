//! Data sets of one's own tensors, their checks, and the split into training and validation set.

use std::collections::BTreeSet;

use glisten::data::{Dataset, Examples, Kind, Split};
use glisten::error::Error;
use tch::{Device, Tensor};

/// `n` images of 1 × 2 × 2, each filled with its own number, labels 0, 1, 2, 0, …
fn numbered(n: i64) -> Dataset {
    let images = (Tensor::arange(n, (tch::Kind::Int64, Device::Cpu)).view([n, 1, 1, 1])
        * Tensor::ones([1, 1, 2, 2], (tch::Kind::Int64, Device::Cpu)))
    .to_kind(tch::Kind::Uint8);
    let labels = Tensor::arange(n, (tch::Kind::Int64, Device::Cpu)).remainder(3);
    Dataset::from_tensors("numbered", images, labels).unwrap()
}

fn zeros(size: &[i64], kind: tch::Kind) -> Tensor {
    Tensor::zeros(size, (kind, Device::Cpu))
}

#[track_caller]
fn argument<T: std::fmt::Debug>(result: Result<T, Error>, name: &str, expected: &str, got: &str) {
    match result {
        Err(Error::Argument { name: n, expected: e, got: g }) => {
            assert!(n == name && e.contains(expected) && g.contains(got), "{n}: expected {e}, got {g}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_split_is_seeded_disjoint_and_whole() {
    let split = |seed| numbered(200).split(Split { validation: 0.1, seed }).unwrap();
    let (a, b, other) = (split(42), split(42), split(43));
    assert_eq!((a.train.len(), a.validation.len()), (180, 20));
    assert_eq!((&a.train_indices, &a.validation_indices), (&b.train_indices, &b.validation_indices));
    assert_ne!(a.validation_indices, other.validation_indices);
    assert_eq!(a.fingerprint, other.fingerprint);

    let all: BTreeSet<i64> = a.train_indices.iter().chain(&a.validation_indices).copied().collect();
    assert_eq!(all, (0..200).collect());
    // The tensors are those at the indices.
    let first = |t: &Tensor| Vec::<u8>::try_from(&t.select(3, 0).select(2, 0).select(1, 0)).unwrap();
    let expected: Vec<u8> = a.validation_indices.iter().map(|&i| i as u8).collect();
    assert_eq!(first(&a.validation.inputs), expected);
    let labels = Vec::<i64>::try_from(&a.validation.labels).unwrap();
    assert_eq!(labels, a.validation_indices.iter().map(|i| i % 3).collect::<Vec<_>>());
}

#[test]
fn data_split_is_the_same_on_every_machine() {
    // ChaCha8 with seed 42, shuffled: written down when first made, so that no later version or machine differs unseen.
    let splits = numbered(50).split(Split::default()).unwrap();
    assert_eq!(splits.validation_indices, PINNED);
}

const PINNED: [i64; 5] = [0, 16, 21, 36, 49];

#[test]
fn data_split_sizes_are_those_of_cords() {
    // CORDS, builder.py: num_val = int(num_fulltrn * 0.1); num_trn = num_fulltrn - num_val.
    for (n, validation) in [(10, 1), (15, 1), (19, 1), (20, 2), (99, 9), (250, 25)] {
        let splits = numbered(n).split(Split::default()).unwrap();
        assert_eq!((splits.train.len(), splits.validation.len()), (n as usize - validation, validation));
    }
}

#[test]
fn data_split_refuses_what_it_cannot_do() {
    for share in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let refused = numbered(20).split(Split { validation: share, seed: 0 });
        argument(refused, "split.validation", "above 0 and below 1", &share.to_string());
    }
    argument(
        numbered(9).split(Split::default()),
        "split.validation",
        "at least one sample",
        "0.1 of 9 samples",
    );
    argument(
        numbered(1).split(Split { validation: 0.5, seed: 0 }),
        "split.validation",
        "at least one",
        "of 1 samples",
    );
}

#[test]
fn data_own_tensors_are_checked() {
    use tch::Kind::{Float, Int, Int64, Uint8};
    let own = |images: &Tensor, labels: &Tensor| {
        Dataset::from_tensors("own", images.shallow_clone(), labels.shallow_clone())
    };
    let (images, labels) = (zeros(&[4, 1, 2, 2], Uint8), zeros(&[4], Int64));
    assert!(own(&images, &labels).is_ok());
    argument(own(&zeros(&[4, 1, 2, 2], Float), &labels), "inputs", "u8 [N, C, H, W]", "Float");
    argument(own(&zeros(&[4, 2, 2], Uint8), &labels), "inputs", "[N, C, H, W]", "[4, 2, 2]");
    argument(
        own(&zeros(&[0, 1, 2, 2], Uint8), &zeros(&[0], Int64)),
        "inputs",
        "none of them 0",
        "[0, 1, 2, 2]",
    );
    argument(own(&images, &zeros(&[4], Int)), "labels", "i64", "Int");
    argument(own(&images, &zeros(&[3], Int64)), "labels", "[4], one for each input", "[3]");
    argument(own(&images, &zeros(&[4, 1], Int64)), "labels", "[4]", "[4, 1]");
    argument(own(&images, &Tensor::from_slice(&[0_i64, 1, -1, 0])), "labels", "0 or more", "label -1");
    argument(
        own(&images, &Tensor::from_slice(&[0_i64, 1, i64::MAX, 0])),
        "labels",
        "below 65536",
        "label 9223",
    );
    argument(
        Dataset::from_tensors(" ", images.shallow_clone(), labels.shallow_clone()),
        "name",
        "a name",
        "empty",
    );
    argument(
        Examples::new(images.shallow_clone(), Tensor::from_slice(&[0_i64, 1, 2, 3]), 3),
        "labels",
        "from 0 to 2",
        "label 3",
    );
    argument(Examples::new(images, labels, 0), "labels", "at least one class", "label 0");
}

#[test]
fn data_own_classes_and_test_sets_are_checked() {
    use tch::Kind::{Int64, Uint8};
    let data = || numbered(12);
    assert_eq!(data().classes, ["0", "1", "2"]);
    let named = data().with_classes(["a", "b", "c", "d"]).unwrap();
    assert_eq!(named.n_classes(), 4);
    argument(data().with_classes(["a", "b"]), "classes", "at least 3 names", "2");
    argument(data().with_classes(["a", "b", "a"]), "classes", "differ", "'a' twice");

    let with = named.with_test(zeros(&[2, 1, 2, 2], Uint8), Tensor::from_slice(&[3_i64, 0])).unwrap();
    assert_eq!(with.to_string(), "numbered: 12 to train on, 2 to test, 4 classes, 1×2×2");
    assert_eq!(format!("{with:?}"), format!("Dataset({with})"));
    argument(
        data().with_test(zeros(&[2, 1, 2, 2], Uint8), Tensor::from_slice(&[3_i64, 0])),
        "labels",
        "to 2",
        "3",
    );
    argument(
        data().with_test(zeros(&[2, 1, 3, 2], Uint8), zeros(&[2], Int64)),
        "test inputs",
        "1×2×2",
        "1×3×2",
    );
    let splits = with.split(Split { validation: 0.25, seed: 1 }).unwrap();
    assert_eq!(splits.to_string(), "numbered: 9 to train on, 3 to validate, 2 to test, 4 classes, 1×2×2");
}

#[test]
fn data_take_select_and_counts() {
    let data = numbered(30).take(7).unwrap();
    assert_eq!(data.train.len(), 7);
    assert_eq!(data.train.class_counts(3).unwrap(), [3, 2, 2]);
    assert_eq!(numbered(5).take(100).unwrap().train.len(), 5);
    argument(numbered(5).take(0), "n", "at least 1", "0");
    let some = data.train.select(&[6, 0, 6]).unwrap();
    assert_eq!(Vec::<i64>::try_from(&some.labels).unwrap(), [0, 0, 0]);
    argument(data.train.select(&[]), "indices", "at least one", "none");
    argument(data.train.select(&[7]), "indices", "from 0 to 6", "7");
    argument(data.train.select(&[-1]), "indices", "from 0 to 6", "-1");
}

#[test]
fn data_fingerprint_tells_data_sets_apart() {
    let print = |data: &Dataset| data.fingerprint().unwrap();
    let base = numbered(30);
    assert_eq!(print(&base).len(), 64);
    assert_eq!(print(&base), print(&numbered(30)));
    let mut renamed = base.clone();
    renamed.name = "other".to_owned();
    let changed = numbered(30);
    let _ = changed.train.inputs.get(29).fill_(1);
    let others = [
        renamed,
        numbered(29),
        numbered(30).with_classes(["a", "b", "c"]).unwrap(),
        changed,
        numbered(30)
            .with_test(zeros(&[1, 1, 2, 2], tch::Kind::Uint8), zeros(&[1], tch::Kind::Int64))
            .unwrap(),
    ];
    let prints: BTreeSet<String> = others.iter().chain([&base]).map(print).collect();
    assert_eq!(prints.len(), 6);
    // A view that is not contiguous has the values it shows.
    let turned = Dataset::from_tensors(
        "numbered",
        base.train.inputs.permute([0, 1, 3, 2]),
        base.train.labels.shallow_clone(),
    );
    assert_eq!(print(&turned.unwrap()), print(&base));
}

#[test]
fn data_names_are_forgiving_and_unknown_ones_list_the_known() {
    for name in ["fashion-mnist", "Fashion_MNIST", "FashionMNIST"] {
        assert_eq!(name.parse::<Kind>().unwrap(), Kind::FashionMnist);
    }
    assert_eq!("CIFAR-10".parse::<Kind>().unwrap(), Kind::Cifar10);
    argument(Dataset::named("imagenet"), "data set", "mnist, fashion-mnist, cifar10", "'imagenet'");
}
