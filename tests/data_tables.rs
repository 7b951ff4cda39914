//! Tables from dataframes, CSV and Parquet files: what columns become, what is refused, and ten kinds of broken files.

use std::f64::consts::SQRT_2;
use std::fs;
use std::path::{Path, PathBuf};

use glisten::data::{
    Dataset, Missing, Normalization, Split, TableOptions, TableSchema, TargetKind, Task, Unseen,
};
use glisten::error::Error;
use polars::df;
use polars::prelude::{DataFrame, ParquetWriter};
use tch::Tensor;
use tempfile::TempDir;

const PEOPLE: &str = "age,income,town,member,kind\n\
    20,1.5,Bern,true,a\n\
    30,2.5,Genf,false,b\n\
    40,3.5,Bern,true,a\n\
    30,8.5,Basel,false,c\n";

fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    Vec::<Vec<f32>>::try_from(tensor).unwrap()
}

fn labels(tensor: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(tensor).unwrap()
}

#[track_caller]
fn near(found: &[Vec<f32>], expected: &[&[f64]]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let close =
            found.iter().zip(*expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6 * b.abs().max(1.0));
        assert!(close && found.len() == expected.len(), "{found:?} is not {expected:?}");
    }
}

/// That the error has all these parts in its text, and names the file if there is one.
#[track_caller]
fn says<T>(result: Result<T, Error>, path: Option<&Path>, parts: &[&str]) {
    let Err(error) = result else { panic!("no error, but expected {parts:?}") };
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}\nlacks one of {parts:?}");
    if let Some(path) = path {
        assert!(text.contains(&path.display().to_string()), "{text} does not name {}", path.display());
    }
}

#[test]
fn data_csv_columns_become_features() {
    let (_dir, path) = file("people.csv", PEOPLE);
    let data = Dataset::from_csv(&path, "kind").unwrap();
    assert_eq!(data.to_string(), "people: 4 to train on, 3 classes, 7 features");
    assert_eq!(data.classes, ["a", "b", "c"]);
    assert_eq!(data.task(), Task::Classification { n_classes: 3 });
    let schema = data.table.as_ref().unwrap();
    let names = ["age", "income", "town=Basel", "town=Bern", "town=Genf", "member=false", "member=true"];
    assert_eq!(schema.feature_names(), names);
    assert_eq!(labels(&data.train.labels), [0, 1, 0, 2]);
    // scikit-learn 1.9: StandardScaler for age and income, OneHotEncoder for town and member.
    near(
        &rows(&data.train.inputs),
        &[
            &[-SQRT_2, -0.928_476_690_885_259_4, 0.0, 1.0, 0.0, 0.0, 1.0],
            &[0.0, -0.557_086_014_531_155_6, 0.0, 0.0, 1.0, 1.0, 0.0],
            &[SQRT_2, -0.185_695_338_177_051_86, 0.0, 1.0, 0.0, 0.0, 1.0],
            &[0.0, 1.671_258_043_593_467, 1.0, 0.0, 0.0, 1.0, 0.0],
        ],
    );
    // The normalisation for training leaves 0-or-1 features as they are.
    let normalized = Normalization::of(&data.train).apply(&data.train.inputs);
    assert!((normalized - &data.train.inputs).abs().max().double_value(&[]) < 1e-6);
    // Gzipped, and with other separators and line ends, it is the same.
    let gz = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(PEOPLE.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let (_dir, zipped) = file("people.csv.gz", gz);
    assert_eq!(rows(&Dataset::from_csv(&zipped, "kind").unwrap().train.inputs), rows(&data.train.inputs));
    let (_dir, other) = file("people.csv", PEOPLE.replace(',', ";").replace('\n', "\r\n"));
    let options = TableOptions { separator: ';', ..Default::default() };
    let other = Dataset::from_csv_with(&other, "kind", &options).unwrap();
    assert_eq!(other.fingerprint().unwrap(), data.fingerprint().unwrap());
}

#[test]
fn data_normalization_of_a_table_is_of_its_training_rows() {
    let frame = df!("x" => [0.0, 2.0, 4.0, 100.0], "y" => [0, 1, 0, 1]).unwrap();
    let options = TableOptions { standardize: false, ..Default::default() };
    let data = Dataset::from_frame(&frame, "y", &options).unwrap();
    let first_three = data.train.take(3).unwrap();
    let raw = data.train.inputs.copy();
    // NumPy: (x - np.mean([0, 2, 4])) / np.std([0, 2, 4]).
    let std = (8.0_f64 / 3.0).sqrt();
    let normalized = Normalization::of(&first_three).apply(&data.train.inputs);
    near(&rows(&normalized), &[&[-2.0 / std], &[0.0], &[2.0 / std], &[98.0 / std]]);
    assert_eq!(raw, data.train.inputs, "what is normalised is a copy");
}

#[test]
fn data_large_numbers_keep_their_differences() {
    // As f32 these two would be one.
    let frame = df!("time" => [1_700_000_000_i64, 1_700_000_001], "y" => ["a", "b"]).unwrap();
    let data = Dataset::from_frame(&frame, "y", &TableOptions::default()).unwrap();
    near(&rows(&data.train.inputs), &[&[-1.0], &[1.0]]);
}

#[test]
fn data_targets_of_every_kind() {
    let classes = |frame: &DataFrame, options: &TableOptions| {
        let data = Dataset::from_frame(frame, "y", options).unwrap();
        (data.classes, labels(&data.train.labels))
    };
    let plain = TableOptions::default();
    let numbers = df!("x" => [1, 2, 3], "y" => [10, 9, -1]).unwrap();
    assert_eq!(classes(&numbers, &plain), (vec!["-1".into(), "9".into(), "10".into()], vec![2, 1, 0]));
    let truths = df!("x" => [1, 2, 3], "y" => [true, false, true]).unwrap();
    assert_eq!(classes(&truths, &plain), (vec!["false".into(), "true".into()], vec![1, 0, 1]));
    let told = TableOptions { task: Some(TargetKind::Classification), ..Default::default() };
    let whole = df!("x" => [1, 2, 3], "y" => [2.0, 0.0, 2.0]).unwrap();
    assert_eq!(classes(&whole, &told), (vec!["0".into(), "2".into()], vec![1, 0, 1]));
    let halves = df!("x" => [1, 2, 3], "y" => [2.0, 0.5, 2.0]).unwrap();
    says(Dataset::from_frame(&halves, "y", &told), None, &["column 'y'", "whole numbers", "0.5 in row 2"]);

    let data = Dataset::from_frame(&halves, "y", &plain).unwrap();
    assert_eq!((data.task(), data.n_classes()), (Task::Regression, 0));
    assert_eq!(data.to_string(), "table: 3 to train on, regression, 1 feature");
    assert_eq!(Vec::<f32>::try_from(&data.train.labels).unwrap(), [2.0, 0.5, 2.0]);
    let scaled = TableOptions { standardize_target: true, ..Default::default() };
    let data = Dataset::from_frame(&halves, "y", &scaled).unwrap();
    let (mean, std) = data.table.as_ref().unwrap().target_scale();
    // NumPy: np.mean and np.std of [2, 0.5, 2].
    assert!((mean - 1.5).abs() < 1e-12 && (std - 0.5_f64.sqrt()).abs() < 1e-12);
    let back = f64::from(Vec::<f32>::try_from(&data.train.labels).unwrap()[1]) * std + mean;
    assert!((back - 0.5).abs() < 1e-6);
    let regression = TableOptions { task: Some(TargetKind::Regression), ..Default::default() };
    assert_eq!(Dataset::from_frame(&numbers, "y", &regression).unwrap().task(), Task::Regression);

    let many = df!("x" => (0..300).collect::<Vec<i32>>(), "y" => (0..300).collect::<Vec<i32>>()).unwrap();
    says(Dataset::from_frame(&many, "y", &plain), None, &["column 'y'", "task = ", "300 different"]);
    let texts = df!("x" => [1, 2], "y" => ["p", "q"]).unwrap();
    says(Dataset::from_frame(&texts, "y", &regression), None, &["numbers, for a regression", "'p'"]);
    let one = df!("x" => [1, 2], "y" => ["p", "p"]).unwrap();
    says(Dataset::from_frame(&one, "y", &plain), None, &["column 'y'", "two classes or more", "only 'p'"]);
}

#[test]
fn data_missing_values_are_refused_or_filled_as_told() {
    let frame = df!(
        "n" => [Some(1.0), None, Some(3.0), Some(8.0)],
        "t" => [Some("u"), Some("v"), None, Some("u")],
        "y" => ["a", "b", "a", "b"],
    )
    .unwrap();
    let with = |missing| TableOptions { missing, ..Default::default() };
    let data = |options: &TableOptions| Dataset::from_frame(&frame, "y", options);
    says(data(&with(Missing::Error)), None, &["column 'n'", "a missing one in row 2", "drop-rows"]);

    let dropped = data(&with(Missing::DropRows)).unwrap();
    assert_eq!((dropped.train.len(), labels(&dropped.train.labels)), (2, vec![0, 1]));

    // scikit-learn 1.9: StandardScaler().fit(m).transform(SimpleImputer(strategy).fit_transform(m)).
    let (low, middle, high) = (-1.019_049_330_730_136_3, -0.339_683_110_243_378_7, 1.358_732_440_973_514_9);
    let mean = data(&with(Missing::Mean)).unwrap();
    let names = mean.table.as_ref().unwrap().feature_names().to_vec();
    assert_eq!(names, ["n", "t=u", "t=v", "t missing"]);
    near(
        &rows(&mean.train.inputs),
        &[&[low, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0], &[middle, 0.0, 0.0, 1.0], &[high, 1.0, 0.0, 0.0]],
    );
    let median = data(&with(Missing::Median)).unwrap();
    near(&rows(&median.train.inputs)[1..2], &[&[middle, 0.0, 1.0, 0.0]]);
    let own = data(&with(Missing::Category)).unwrap();
    assert_eq!(own.table.as_ref().unwrap().feature_names(), ["n", "n missing", "t=u", "t=v", "t missing"]);
    near(&rows(&own.train.inputs)[1..3], &[&[0.0, 1.0, 0.0, 1.0, 0.0], &[middle, 0.0, 0.0, 0.0, 1.0]]);
    let mixed = TableOptions { missing_in: [("t".into(), Missing::DropRows)].into(), ..with(Missing::Mean) };
    assert_eq!(data(&mixed).unwrap().train.len(), 3);

    // NaN is missing, infinity is not a number to learn from; a target cannot be made up.
    let nan = df!("n" => [1.0, f64::NAN], "y" => ["a", "b"]).unwrap();
    says(Dataset::from_frame(&nan, "y", &with(Missing::Error)), None, &["column 'n'", "row 2"]);
    let infinite = df!("n" => [1.0, f64::INFINITY], "y" => ["a", "b"]).unwrap();
    says(
        Dataset::from_frame(&infinite, "y", &with(Missing::Mean)),
        None,
        &["column 'n'", "finite", "inf in row 2"],
    );
    let target = df!("n" => [1, 2, 3], "y" => [Some("a"), None, Some("b")]).unwrap();
    says(Dataset::from_frame(&target, "y", &with(Missing::Mean)), None, &["column 'y'", "none in row 2"]);
    assert_eq!(Dataset::from_frame(&target, "y", &with(Missing::DropRows)).unwrap().train.len(), 2);
    let all = df!("n" => [None::<f64>, None], "y" => ["a", "b"]).unwrap();
    says(Dataset::from_frame(&all, "y", &with(Missing::Mean)), None, &["column 'n'", "missing values only"]);
    says(Dataset::from_frame(&all, "y", &with(Missing::DropRows)), None, &["2 rows, of which none is whole"]);
}

#[test]
fn data_test_rows_take_the_form_of_the_training_rows() {
    let train = df!("n" => [0.0, 2.0], "t" => ["u", "v"], "y" => ["a", "b"]).unwrap();
    let test = df!("y" => ["b"], "t" => ["u"], "n" => [4.0], "more" => [1]).unwrap();
    let data = |options: &TableOptions| Dataset::from_frame(&train, "y", options).unwrap();
    let plain = TableOptions::default();
    let with = data(&plain).with_test_frame(&test).unwrap();
    let part = with.test.as_ref().unwrap();
    // Mean 1 and deviation 1 of the training rows, not of the test row.
    near(&rows(&part.inputs), &[&[3.0, 1.0, 0.0]]);
    assert_eq!(labels(&part.labels), [1]);

    let unseen = df!("n" => [4.0], "t" => ["w"], "y" => ["b"]).unwrap();
    says(data(&plain).with_test_frame(&unseen), None, &["column 't'", "'w' in row 1", "unseen"]);
    let zeros = TableOptions { unseen: Unseen::Zeros, ..Default::default() };
    near(&rows(&data(&zeros).with_test_frame(&unseen).unwrap().test.unwrap().inputs), &[&[3.0, 0.0, 0.0]]);
    let class = df!("n" => [4.0], "t" => ["u"], "y" => ["z"]).unwrap();
    says(data(&plain).with_test_frame(&class), None, &["column 'y'", "(a, b)", "'z' in row 1"]);
    let lacks = df!("n" => [4.0], "y" => ["a"]).unwrap();
    says(data(&plain).with_test_frame(&lacks), None, &["no column named 't'"]);
    let texts = df!("n" => ["four"], "t" => ["u"], "y" => ["a"]).unwrap();
    says(data(&plain).with_test_frame(&texts), None, &["column 'n'", "numbers", "'four'"]);

    // New rows to predict need no target, and none is left out.
    let schema = data(&plain).table.unwrap();
    let new = df!("t" => ["v", "u"], "n" => [1.0, 0.0]).unwrap();
    near(&rows(&schema.inputs(&new).unwrap()), &[&[0.0, 0.0, 1.0], &[-1.0, 1.0, 0.0]]);
    let dropping = TableOptions { missing: Missing::DropRows, ..Default::default() };
    let gap = df!("t" => ["v", "u"], "n" => [Some(1.0), None]).unwrap();
    says(data(&dropping).table.unwrap().inputs(&gap), None, &["column 'n'", "row 2"]);
    // It can be kept with a model.
    let text = serde_json::to_string(schema.as_ref()).unwrap();
    assert_eq!(serde_json::from_str::<TableSchema>(&text).unwrap(), *schema);
}

#[test]
fn data_a_share_of_the_rows_can_be_the_test_set() {
    let n = 50;
    let frame =
        df!("n" => (0..n).collect::<Vec<i32>>(), "y" => (0..n).map(|i| i % 2).collect::<Vec<i32>>()).unwrap();
    let options = |seed| TableOptions {
        test_share: Some(0.2),
        test_seed: seed,
        standardize: false,
        ..Default::default()
    };
    let data = |seed| Dataset::from_frame(&frame, "y", &options(seed)).unwrap();
    let numbers = |tensor: &Tensor| rows(tensor).iter().map(|row| row[0] as i32).collect::<Vec<_>>();
    let (one, other) = (data(1), data(2));
    let test = numbers(&one.test.as_ref().unwrap().inputs);
    let train = numbers(&one.train.inputs);
    assert_eq!((train.len(), test.len()), (40, 10));
    let mut all = [train, test.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..n).collect::<Vec<_>>());
    assert_ne!(test, numbers(&other.test.unwrap().inputs));
    assert_eq!(test, numbers(&data(1).test.unwrap().inputs));
    for (share, part) in
        [(0.0, "above 0"), (1.0, "below 1"), (f64::NAN, "above 0"), (0.001, "at least one row")]
    {
        let refused = TableOptions { test_share: Some(share), ..Default::default() };
        says(Dataset::from_frame(&frame, "y", &refused), None, &["test_share", part]);
    }
    // A row in an error is the user's, not that of a part.
    let mut values: Vec<Option<i32>> = (0..n).map(Some).collect();
    values[37] = None;
    let gap = df!("n" => values, "y" => (0..n).map(|i| i % 2).collect::<Vec<i32>>()).unwrap();
    for seed in [1, 2, 3] {
        says(Dataset::from_frame(&gap, "y", &options(seed)), None, &["row 38"]);
    }
}

#[test]
fn data_columns_can_be_left_out_or_made_categories() {
    let (_dir, path) = file("people.csv", PEOPLE);
    let options = TableOptions {
        ignore: vec!["income".into(), "member".into()],
        categories: vec!["age".into()],
        name: Some("folk".into()),
        ..Default::default()
    };
    let data = Dataset::from_csv_with(&path, "kind", &options).unwrap();
    let names = ["age=20", "age=30", "age=40", "town=Basel", "town=Bern", "town=Genf"];
    assert_eq!(
        (data.name.as_str(), data.table.unwrap().feature_names()),
        ("folk", &names.map(str::to_owned)[..])
    );

    says(Dataset::from_csv(&path, "knid"), Some(&path), &["no column named 'knid'", "did you mean 'kind'?"]);
    for (options, part) in [
        (TableOptions { ignore: vec!["towm".into()], ..Default::default() }, "'towm'"),
        (TableOptions { ignore: vec!["kind".into()], ..Default::default() }, "other than the target"),
        (TableOptions { categories: vec!["x".into()], ..Default::default() }, "'x'"),
        (TableOptions { missing_in: [("x".into(), Missing::Mean)].into(), ..Default::default() }, "'x'"),
        (TableOptions { separator: 'é', ..Default::default() }, "one ASCII character"),
        (TableOptions { max_categories: 0, ..Default::default() }, "1 or more"),
        (TableOptions { max_categories: 2, ..Default::default() }, "3 different texts"),
        (TableOptions { name: Some(" ".into()), ..Default::default() }, "a name"),
        (TableOptions { test: Some(path.clone()), test_share: Some(0.1), ..Default::default() }, "both"),
        (TableOptions { test: Some("nowhere.csv".into()), ..Default::default() }, "nowhere.csv"),
    ] {
        says(Dataset::from_csv_with(&path, "kind", &options), None, &[part]);
    }
    let everything = ["age", "income", "town", "member"].map(str::to_owned).to_vec();
    let nothing = TableOptions { ignore: everything, ..Default::default() };
    says(
        Dataset::from_csv_with(&path, "kind", &nothing),
        Some(&path),
        &["a column or more beside the target"],
    );

    // A number written badly makes a column of texts: the row is named.
    let mut text = String::from("n,y\n");
    (0..300).for_each(|i| text.push_str(&format!("{i},{}\n", i % 2)));
    let (_dir, path) = file("bad.csv", text.replace("\n250,", "\n?,"));
    says(Dataset::from_csv(&path, "y"), Some(&path), &["column 'n'", "row 251 has '?'", "null_values"]);
    let told = TableOptions { null_values: vec!["?".into()], missing: Missing::Mean, ..Default::default() };
    assert_eq!(Dataset::from_csv_with(&path, "y", &told).unwrap().train.inputs.size(), [300, 1]);
}

fn parquet(frame: &DataFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame.clone()).unwrap();
    bytes
}

#[test]
fn data_parquet_is_read_as_csv_is() {
    let frame = df!(
        "age" => [20, 30, 40, 30],
        "income" => [1.5, 2.5, 3.5, 8.5],
        "town" => ["Bern", "Genf", "Bern", "Basel"],
        "member" => [true, false, true, false],
        "kind" => ["a", "b", "a", "c"],
    )
    .unwrap();
    let (_a, of_parquet) = file("people.parquet", parquet(&frame));
    let (_b, of_csv) = file("people.csv", PEOPLE);
    let data = Dataset::from_parquet(&of_parquet, "kind").unwrap();
    assert_eq!(
        data.fingerprint().unwrap(),
        Dataset::from_csv(&of_csv, "kind").unwrap().fingerprint().unwrap()
    );
    let options = TableOptions { test: Some(of_parquet.clone()), ..Default::default() };
    assert_eq!(Dataset::from_parquet_with(&of_parquet, "kind", &options).unwrap().test.unwrap().len(), 4);
}

#[test]
fn data_broken_csv_files_are_named() {
    let cases: Vec<(&[u8], &[&str])> = vec![
        (b"", &["an empty file"]),
        (b"age,kind\n", &["row"]),
        (b"age,kind\n1,a\n2,b,c\n", &["CSV"]),
        (b"age,kind\n1,a\n2\n", &["column 'kind'", "row 2"]),
        (b"age,age,kind\n1,2,a\n", &["'age' twice"]),
        (b"age,,kind\n1,2,a\n", &["none for column 2"]),
        (b"age,kind\n1,a\n,b\n", &["column 'age'", "row 2"]),
        (b"age,kind\n1,a\n\xff\xfe,b\n", &["UTF-8", "line 3"]),
        (b"PAR1\0\0\0\0", &["a zero byte in line 1"]),
        (b"age,kind\n1,a\n2,a\n", &["column 'kind'", "two classes"]),
        (b"age,kind\n1,a\n\"2,b\n", &[]),
        (b"\x1f\x8b\x08\0\0", &["gzip"]),
        (b"kind\na\nb\n", &["a column or more beside the target"]),
        (b"age,kind\n1e999,a\n2,b\n", &["column 'age'", "row 1"]),
    ];
    for (bytes, parts) in cases {
        let (_dir, path) = file("table.csv", bytes);
        says(Dataset::from_csv(&path, "kind"), Some(&path), parts);
    }
    let dir = TempDir::new().unwrap();
    says(Dataset::from_csv(dir.path(), "kind"), Some(dir.path()), &["a folder"]);
    says(Dataset::from_csv(dir.path().join("x.csv"), "kind"), Some(dir.path()), &["opening"]);
}

#[test]
fn data_broken_parquet_files_are_named() {
    let frame = df!("n" => [1, 2, 3], "y" => ["a", "b", "a"]).unwrap();
    let good = parquet(&frame);
    let mut length = good.clone();
    let at = length.len() - 8;
    length[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut footer = good.clone();
    let at = footer.len() - 60;
    footer[at..at + 40].fill(0xff);
    let middle = [&good[..4], &good[good.len() / 2..]].concat();
    let cases: Vec<(&[u8], &str)> = vec![
        (b"", "an empty file"),
        (b"PAR1", "cut off"),
        (b"PAR1PAR1PAR1", "intact"),
        (&good[..good.len() - 1], "cut off"),
        (&good[1..], "cut off"),
        (PEOPLE.as_bytes(), "do not begin and end with PAR1"),
        (&length, "intact"),
        (&footer, "intact"),
        (&middle, "intact"),
    ];
    for (bytes, part) in cases {
        let (_dir, path) = file("table.parquet", bytes);
        says(Dataset::from_parquet(&path, "y"), Some(&path), &[part]);
    }
    let dates = df!("n" => [1, 2], "y" => ["a", "b"]).unwrap();
    let dates = {
        use polars::prelude::*;
        dates.lazy().with_column(col("n").cast(DataType::Date)).collect().unwrap()
    };
    let (_dir, path) = file("dates.parquet", parquet(&dates));
    says(Dataset::from_parquet(&path, "y"), Some(&path), &["column 'n'", "date", "ignore"]);
}

#[test]
fn data_damaged_tables_never_panic() {
    let frame = df!(
        "n" => (0..40).map(f64::from).collect::<Vec<_>>(),
        "t" => (0..40).map(|i| format!("t{}", i % 3)).collect::<Vec<_>>(),
        "y" => (0..40).map(|i| i % 2).collect::<Vec<i32>>(),
    )
    .unwrap();
    let parquet = parquet(&frame);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table");
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for round in 0..300 {
        for (bytes, is_csv) in [(PEOPLE.as_bytes(), true), (&parquet[..], false)] {
            let mut bytes = bytes.to_vec();
            if round % 3 == 0 {
                bytes.truncate(next() % bytes.len());
            } else {
                for _ in 0..1 + next() % 4 {
                    let at = next() % bytes.len();
                    bytes[at] = next() as u8;
                }
            }
            fs::write(&path, &bytes).unwrap();
            // Whether it is an error is for the other tests to say; here it must only come back.
            let _ = if is_csv { Dataset::from_csv(&path, "kind") } else { Dataset::from_parquet(&path, "y") };
        }
    }
}

#[test]
fn data_a_table_can_be_split_trained_on_and_told_apart() {
    let (_dir, path) = file("people.csv", PEOPLE);
    let data = Dataset::from_csv(&path, "kind").unwrap();
    let print = data.fingerprint().unwrap();
    let (_dir, other) = file("people.csv", PEOPLE.replace("8.5", "8.6"));
    assert_ne!(Dataset::from_csv(&other, "kind").unwrap().fingerprint().unwrap(), print);
    let (_dir, other) = file("people.csv", PEOPLE.replace("income", "wealth"));
    assert_ne!(Dataset::from_csv(&other, "kind").unwrap().fingerprint().unwrap(), print);
    let splits = data.split(Split { validation: 0.25, seed: 0 }).unwrap();
    assert_eq!(splits.to_string(), "people: 3 to train on, 1 to validate, 3 classes, 7 features");
    assert_eq!(splits.table.as_ref().unwrap().target(), "kind");
    // A LeNet is for images, and says so.
    let lenet = glisten::prelude::Trainer::new(glisten::prelude::LeNet::for_data(&splits));
    says(lenet.check(&splits), None, &["images with classes", "7 features"]);
}
