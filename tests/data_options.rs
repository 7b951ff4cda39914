//! Class imbalance and label noise: seeded, on the training set only, and written down.

use std::collections::BTreeSet;

use glisten::data::{ClassImbalance, DataSpec, Dataset, Draw, LabelNoise, Split, Splits};
use glisten::error::Error;
use tch::{Device, Kind, Tensor};

/// 1000 images of 1 × 1 × 2, of classes 0 to 9 in turn, split 900 and 100.
fn splits() -> Splits {
    let numbers = Tensor::arange(1000, (Kind::Int64, Device::Cpu));
    let images = Tensor::stack(&[numbers.remainder(256), &numbers / 256], 1)
        .to_kind(Kind::Uint8)
        .view([1000, 1, 1, 2]);
    let data = Dataset::from_tensors("thousand", images, numbers.remainder(10)).unwrap();
    data.split(Split::default()).unwrap()
}

fn labels(tensor: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(tensor).unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, name: &str, expected: &str) {
    match result {
        Err(Error::Argument { name: n, expected: e, .. }) if n == name && e.contains(expected) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn data_imbalance_thins_classes_of_the_training_set_only() {
    let plain = splits();
    let imbalance = ClassImbalance { classes: 0.35, keep: 0.1, seed: 1 };
    let thinned = splits().with_class_imbalance(imbalance).unwrap();
    let (before, after) = (plain.train.class_counts(10).unwrap(), thinned.train.class_counts(10).unwrap());
    // CORDS, builder.py: int(ratio * num_cls) classes of int(min(samples_per_class) * 0.1) samples, the others whole.
    let left = (*before.iter().min().unwrap() as f64 * 0.1) as i64;
    let n_thinned = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(n_thinned, 3);
    assert_eq!(after.iter().filter(|&&n| n == left).count(), 3);
    assert_eq!(thinned.validation.inputs, plain.validation.inputs);
    assert_eq!(thinned.validation_indices, plain.validation_indices);

    // Indices still say where each sample stood in the data set: its label is its place's.
    assert_eq!(thinned.train_indices.len(), thinned.train.len());
    let expected: Vec<i64> = thinned.train_indices.iter().map(|index| index % 10).collect();
    assert_eq!(labels(&thinned.train.labels), expected);
    assert!(thinned.train_indices.is_sorted());
    let of_plain: BTreeSet<_> = plain.train_indices.iter().collect();
    assert!(thinned.train_indices.iter().all(|index| of_plain.contains(index)));

    let again = splits().with_class_imbalance(imbalance).unwrap();
    assert_eq!((&again.train_indices, &again.fingerprint), (&thinned.train_indices, &thinned.fingerprint));
    let other = splits().with_class_imbalance(ClassImbalance { seed: 2, ..imbalance }).unwrap();
    assert_ne!(other.train_indices, thinned.train_indices);
    let prints: BTreeSet<_> = [&plain, &thinned, &other].map(|splits| splits.fingerprint.clone()).into();
    assert_eq!(prints.len(), 3);
}

#[test]
fn data_noise_flips_labels_of_the_training_set_only_and_says_which() {
    let plain = splits();
    let noise = LabelNoise { rate: 0.3, draw: Draw::OtherClasses, seed: 5 };
    let noisy = splits().with_label_noise(noise).unwrap();
    let (truth, found) = (labels(&plain.train.labels), labels(&noisy.train.labels));
    let wrong: Vec<i64> = (0..900).filter(|&at| truth[at as usize] != found[at as usize]).collect();
    let record = noisy.noise.as_ref().unwrap();
    assert_eq!(wrong.len(), 270);
    assert_eq!(record.flipped, wrong);
    assert_eq!(record.true_labels, wrong.iter().map(|&at| truth[at as usize]).collect::<Vec<_>>());
    assert!(found.iter().all(|label| (0..10).contains(label)));
    // Every class gets some, from every other.
    let pairs: BTreeSet<(i64, i64)> =
        wrong.iter().map(|&at| (truth[at as usize], found[at as usize])).collect();
    assert!(pairs.len() > 80, "{} of 90 pairs", pairs.len());
    assert_eq!(labels(&noisy.validation.labels), labels(&plain.validation.labels));
    assert_eq!(noisy.train.inputs, plain.train.inputs);
    assert_ne!(noisy.fingerprint, plain.fingerprint);
    let again = splits().with_label_noise(noise).unwrap();
    assert_eq!((&again.noise, &again.fingerprint), (&noisy.noise, &noisy.fingerprint));
    assert_ne!(splits().with_label_noise(LabelNoise { seed: 6, ..noise }).unwrap().noise, noisy.noise);

    // CORDS draws from all classes: a tenth keeps its label by chance.
    let cords = LabelNoise { rate: 0.8, draw: Draw::AllClasses, seed: 5 };
    let n_flipped = splits().with_label_noise(cords).unwrap().noise.unwrap().flipped.len();
    assert!((610..690).contains(&n_flipped), "{n_flipped} of 720 drawn, 648 are expected");
    // All of them.
    let all = LabelNoise { rate: 1.0, ..noise };
    assert_eq!(splits().with_label_noise(all).unwrap().noise.unwrap().flipped.len(), 900);
}

#[test]
fn data_options_out_of_range_are_refused() {
    for rate in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        refused(
            splits().with_label_noise(LabelNoise { rate, ..Default::default() }),
            "noise.rate",
            "above 0",
        );
        let imbalance = ClassImbalance { classes: rate, ..Default::default() };
        refused(splits().with_class_imbalance(imbalance), "imbalance.classes", "above 0");
    }
    refused(
        splits().with_label_noise(LabelNoise { rate: 1e-4, ..Default::default() }),
        "noise.rate",
        "at least one",
    );
    for keep in [0.0, 1.0, f64::NAN] {
        let imbalance = ClassImbalance { keep, ..Default::default() };
        refused(splits().with_class_imbalance(imbalance), "imbalance.keep", "above 0");
    }
    let few = ClassImbalance { classes: 0.05, ..Default::default() };
    refused(splits().with_class_imbalance(few), "imbalance.classes", "at least one class");
    let little = ClassImbalance { keep: 0.001, ..Default::default() };
    refused(splits().with_class_imbalance(little), "imbalance.keep", "leaves a sample");
    let noisy = || splits().with_label_noise(LabelNoise::default()).unwrap();
    refused(noisy().with_label_noise(LabelNoise::default()), "noise", "without noise");
    refused(noisy().with_class_imbalance(ClassImbalance::default()), "imbalance", "goes first");
    assert!(
        splits()
            .with_class_imbalance(ClassImbalance::default())
            .unwrap()
            .with_label_noise(LabelNoise::default())
            .is_ok()
    );

    // An empty class has nothing to leave, one class no other, a regression neither.
    let images = || Tensor::zeros([20, 1, 2, 2], (Kind::Uint8, Device::Cpu));
    let of = |labels: Tensor| {
        Dataset::from_tensors("own", images(), labels)
            .unwrap()
            .split(Split { validation: 0.5, seed: 0 })
            .unwrap()
    };
    let gap = of(Tensor::arange(20, (Kind::Int64, Device::Cpu)).remainder(2) * 2);
    refused(
        gap.with_class_imbalance(ClassImbalance { classes: 0.5, ..Default::default() }),
        "imbalance.keep",
        "leaves",
    );
    let one = of(Tensor::zeros([20], (Kind::Int64, Device::Cpu)));
    refused(one.with_label_noise(LabelNoise::default()), "noise", "two classes");
    let regression = || of(Tensor::ones([20], (Kind::Float, Device::Cpu)));
    refused(regression().with_label_noise(LabelNoise::default()), "noise", "classes");
    refused(regression().with_class_imbalance(ClassImbalance::default()), "imbalance", "classes");
}

fn spec(text: &str) -> Result<DataSpec, toml::de::Error> {
    #[derive(serde::Deserialize)]
    struct File {
        data: DataSpec,
    }
    toml::from_str::<File>(text).map(|file| file.data)
}

#[test]
fn data_specs_name_data_sets_and_paths() {
    let dir = tempfile::TempDir::new().unwrap();
    let csv = dir.path().join("t.csv");
    let rows: String =
        (0..100).map(|i| format!("{i},{}\n", if i % 2 == 0 { "even" } else { "odd" })).collect();
    std::fs::write(&csv, format!("n,kind\n{rows}")).unwrap();

    let named = spec("data = 'fashion-mnist'").unwrap();
    assert_eq!((named.to_string().as_str(), named.check().is_ok()), ("fashion-mnist", true));
    assert_eq!(named, DataSpec::new("fashion-mnist"));
    assert_eq!(serde_json::to_value(&named).unwrap(), "fashion-mnist");

    let text = format!(
        "[data]\npath = '{}'\ntarget = 'kind'\ntable = {{ test_share = 0.2 }}\nnoise = {{ rate = 0.25 }}\nimbalance = {{ classes = 0.5, keep = 0.5 }}",
        csv.display()
    );
    let table = spec(&text).unwrap();
    let data = table.load_split(None, Split::default()).unwrap();
    assert_eq!((data.name.as_str(), data.test.as_ref().unwrap().len(), data.validation.len()), ("t", 20, 8));
    // Of 72 samples one class is left with half of the smaller one; a quarter of those left is noisy.
    assert!((45..60).contains(&data.train.len()), "{}", data.train.len());
    assert_eq!(data.noise.as_ref().unwrap().flipped.len(), data.train.len() / 4);
    let written = toml::to_string(&std::collections::BTreeMap::from([("data", &table)])).unwrap();
    assert_eq!(spec(&written).unwrap(), table);
    let built = DataSpec::new(csv.to_str().unwrap()).target("kind");
    assert_eq!(built.load_split(Some(50), Split::default()).unwrap().train.len(), 45);

    let path = csv.display();
    for (text, parts) in [
        (
            "data = 'imagenet'".to_owned(),
            vec!["one of mnist, fashion-mnist", "'imagenet'", "a folder of images"],
        ),
        ("data = 'no/such/folder'".to_owned(), vec!["no/such/folder", "looking for the data"]),
        ("data = 'nowhere.csv'".to_owned(), vec!["nowhere.csv"]),
        (format!("data = '{path}'"), vec!["data.target", "the column of the table"]),
        (format!("[data]\npath = '{path}'\nname = 'mnist'"), vec!["either `name` or `path`"]),
        ("[data]\ntarget = 'x'".to_owned(), vec!["`name` or `path`", "neither"]),
        ("[data]\nname = 'mnist'\ntarget = 'x'".to_owned(), vec!["data.target", "a table"]),
        (format!("[data]\npath = '{path}'\ntarget = 'kind'\nresize = [8, 8]"), vec!["data.resize", "folder"]),
        ("[data]\nname = 'mnist'\nnoise = { rate = 2 }".to_owned(), vec!["noise.rate"]),
        ("[data]\nname = 'mnist'\nimbalance = { keep = 1.0 }".to_owned(), vec!["imbalance.keep"]),
        (
            format!("[data]\npath = '{path}'\ntarget = 'kind'\ntable = {{ test_share = 2.0 }}"),
            vec!["test_share"],
        ),
    ] {
        let error = spec(&text).unwrap().check().unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}\nlacks one of {parts:?}");
    }
    for text in ["data = 3", "[data]\npth = 'x'", "[data]\npath = 'x'\ntable = { mising = 'mean' }"] {
        assert!(spec(text).is_err(), "{text}");
    }
}
