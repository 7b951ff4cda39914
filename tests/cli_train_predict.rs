//! `glisten train` and `glisten predict` on tables, folders of images and arrays, as their help shows them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::glisten;

fn run(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command: Command = glisten();
    let Output { stdout, stderr, status } =
        command.args(arguments).args(["--device", "cpu"]).current_dir(folder).output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

/// What a command says that ends well.
#[track_caller]
fn says(folder: &Path, arguments: &[&str]) -> String {
    let (text, errors, code) = run(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {text}{errors}");
    text
}

/// The error of a command that does not.
#[track_caller]
fn refuses(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let (text, errors, code) = run(folder, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {text}{errors}");
    for part in parts {
        assert!(errors.contains(part), "{arguments:?}: {part} is not in {errors}");
    }
}

/// Customers who leave if their bill is high and their contract monthly.
fn customers(n: usize, with_target: bool) -> String {
    let mut csv =
        String::from(if with_target { "name,bill,contract,churned\n" } else { "name,contract,bill\n" });
    for i in 0..n {
        let (bill, contract) = (20 + (i * 37) % 80, ["monthly", "yearly"][i % 2]);
        let churned = if bill > 60 && contract == "monthly" { "yes" } else { "no" };
        csv.push_str(&match with_target {
            true => format!("c{i},{bill}.5,{contract},{churned}\n"),
            false => format!("new{i},{contract},{bill}.5\n"),
        });
    }
    csv
}

fn column(csv: &str, name: &str) -> Vec<String> {
    let at = csv.lines().next().unwrap().split(',').position(|column| column == name);
    let at = at.unwrap_or_else(|| panic!("no column {name} in {csv}"));
    csv.lines().skip(1).map(|line| line.split(',').nth(at).unwrap().to_owned()).collect()
}

#[test]
fn a_table_is_trained_on_and_new_rows_are_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("customers.csv"), customers(600, true)).unwrap();
    let train = ["train", "customers.csv", "--target", "churned", "--ignore", "name", "--epochs", "30"];
    let text =
        says(folder, &[&train[..], &["--learning-rate", "0.05", "--save", "churn.safetensors"]].concat());
    assert!(text.contains("model mlp (for rows of a table; --model chooses another)"), "{text}");
    assert!(text.contains("2 classes, 3 features"), "{text}");

    // Without the target, the columns in another order, and one that training left out: by the schema in the model's file.
    fs::write(folder.join("new.csv"), customers(80, false)).unwrap();
    let text = says(folder, &["predict", "churn.safetensors", "new.csv", "--csv", "out.csv"]);
    assert!(text.contains("80 samples, none with a label"), "{text}");
    let csv = fs::read_to_string(folder.join("out.csv")).unwrap();
    assert!(csv.starts_with("row,class,probability,no,yes\n"), "{csv}");
    assert_eq!(column(&csv, "row"), (1..=80).map(|row| row.to_string()).collect::<Vec<_>>());
    let truth = column(&customers(80, true), "churned");
    let n_right = column(&csv, "class").iter().zip(&truth).filter(|(class, truth)| class == truth).count();
    assert!(n_right >= 76, "{n_right} of 80 are right");
    // On the terminal where no file is asked for, and no more than can be looked at.
    let text = says(folder, &["predict", "churn.safetensors", "new.csv"]);
    assert!(text.contains("probability") && text.contains("… and 60 more; --csv FILE writes all"), "{text}");

    // With labels: beside the predictions, and as a score.
    fs::write(folder.join("known.csv"), customers(90, true)).unwrap();
    let text = says(folder, &["predict", "churn.safetensors", "known.csv", "--csv", "known-out.csv"]);
    assert!(text.contains("accuracy ") && text.contains("of 90 samples"), "{text}");
    let csv = fs::read_to_string(folder.join("known-out.csv")).unwrap();
    assert!(csv.starts_with("row,label,class,probability,no,yes\n"), "{csv}");
    assert_eq!(column(&csv, "label"), column(&customers(90, true), "churned"));
    // A label that is missing, and one that the model does not know.
    let mut odd = customers(90, true);
    odd = odd.replacen(",no\n", ",\n", 1).replacen(",no\n", ",perhaps\n", 1);
    fs::write(folder.join("odd.csv"), odd).unwrap();
    let text = says(folder, &["predict", "churn.safetensors", "odd.csv"]);
    assert!(text.contains("of 89 samples, 1 more have no label"), "{text}");
    assert!(text.contains("1 labels are none of the model's classes, as 'perhaps'"), "{text}");

    // Parquet is as good as CSV.
    let mut frame = glisten_csv(&folder.join("new.csv"));
    polars::prelude::ParquetWriter::new(fs::File::create(folder.join("new.parquet")).unwrap())
        .finish(&mut frame)
        .unwrap();
    says(folder, &["predict", "churn.safetensors", "new.parquet", "--csv", "again.csv"]);
    assert_eq!(
        fs::read_to_string(folder.join("again.csv")).unwrap(),
        fs::read_to_string(folder.join("out.csv")).unwrap()
    );
}

fn glisten_csv(path: &Path) -> polars::prelude::DataFrame {
    use polars::prelude::{CsvReader, SerReader};
    CsvReader::new(std::io::Cursor::new(fs::read(path).unwrap())).finish().unwrap()
}

#[test]
fn wrong_and_missing_columns_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("customers.csv"), customers(200, true)).unwrap();
    refuses(
        folder,
        &["train", "customers.csv", "--target", "chruned"],
        &["no column named 'chruned'", "did you mean 'churned'"],
    );
    refuses(folder, &["train", "customers.csv"], &["the column of the table that is learnt (--target)"]);
    let train = ["train", "customers.csv", "--target", "churned", "--ignore", "name", "--epochs", "1"];
    says(folder, &[&train[..], &["--save", "churn.safetensors"]].concat());
    let cases: [(&str, &[&str]); 5] = [
        ("name,bill\na,3\n", &["new.csv", "no column named 'contract'", "there are: name, bill"]),
        ("name,bil\na,3\n", &["new.csv", "none named 'bill', 'contract'; there are: name, bil"]),
        (
            "bill,contract\n1,monthly\nmuch,yearly\n",
            &["new.csv", "numbers, as the training rows have in column 'bill'"],
        ),
        ("bill,contract\n1,monthly\n2,weekly\n", &["categories in column 'contract'", "'weekly' in row 2"]),
        ("bill,contract\n1,monthly\n,yearly\n", &["in column 'bill'", "a missing one in row 2"]),
    ];
    for (csv, parts) in cases {
        fs::write(folder.join("new.csv"), csv).unwrap();
        refuses(folder, &["predict", "churn.safetensors", "new.csv"], parts);
    }
    refuses(
        folder,
        &["predict", "churn.safetensors", "fashion-mnist"],
        &["expected a .csv or .parquet file with the columns that the model was trained on (bill, contract)"],
    );
    refuses(folder, &["predict", "churn.safetensors", "nowhere.csv"], &["nowhere.csv: looking for the data"]);
    // Missing values of the training rows: as told.
    fs::write(folder.join("gaps.csv"), customers(200, true).replacen("20.5", "", 1)).unwrap();
    let gaps = ["train", "gaps.csv", "--target", "churned", "--ignore", "name", "--epochs", "1"];
    refuses(folder, &gaps, &["column 'bill'", "a missing one in row 1", "\"drop-rows\", \"mean\""]);
    says(folder, &[&gaps[..], &["--missing", "median"]].concat());
}

#[test]
fn a_regression_is_trained_and_its_values_are_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = |n: usize| {
        let mut csv = String::from("size,rent\n");
        (0..n).for_each(|i| {
            let size = (i * 17) % 50;
            csv.push_str(&format!("{size},{}.25\n", 3 * size));
        });
        csv
    };
    fs::write(folder.join("flats.csv"), rows(500)).unwrap();
    fs::write(folder.join("new.csv"), rows(50)).unwrap();
    let train =
        ["train", "flats.csv", "--target", "rent", "--model", "logistic-regression", "--epochs", "20"];
    let text =
        says(folder, &[&train[..], &["--learning-rate", "0.01", "--save", "rent.safetensors"]].concat());
    assert!(text.contains("model logistic-regression on flats: regression, 1 feature"), "{text}");
    let text = says(folder, &["predict", "rent.safetensors", "new.csv", "--csv", "out.csv"]);
    assert!(text.contains("RMSE ") && text.contains("over 50 samples"), "{text}");
    let r2 = text.split("R² ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("R²");
    assert!(r2.parse::<f64>().unwrap() > 0.9, "{text}");
    let csv = fs::read_to_string(folder.join("out.csv")).unwrap();
    assert!(csv.starts_with("row,label,prediction\n"), "{csv}");
    let near = |(label, value): (String, String)| {
        (label.parse::<f64>().unwrap() - value.parse::<f64>().unwrap()).abs() < 8.0
    };
    assert!(column(&csv, "label").into_iter().zip(column(&csv, "prediction")).all(near), "{csv}");
}

/// Images with a bright bar: upright in one class, lying in the other. Files sorted by class, as a folder has them.
fn bars(folder: &Path, side: u32, n: u32) {
    for (class, upright) in [("lying", false), ("upright", true)] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for i in 0..n {
            let at = 2 + (i * 7) % (side - 6);
            let image = image::GrayImage::from_fn(side, side, |x, y| {
                let place = if upright { x } else { y };
                image::Luma([if (at..at + 3).contains(&place) {
                    230
                } else {
                    (x * 7 + y * 13 + i) as u8 % 60
                }])
            });
            image.save(folder.join(class).join(format!("{i:03}.png"))).unwrap();
        }
    }
}

#[test]
fn a_folder_of_images_is_trained_on_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bars(&folder.join("bars"), 28, 60);
    let train = ["train", "bars", "--epochs", "8", "--batch-size", "16", "--learning-rate", "0.01"];
    let text = says(folder, &[&train[..], &["--save", "bars.safetensors"]].concat());
    assert!(text.contains("model lenet (for small images; --model chooses another)"), "{text}");

    // Folders of classes, a folder of images alone, one image.
    bars(&folder.join("new"), 28, 8);
    let text = says(folder, &["predict", "bars.safetensors", "new", "--csv", "out.csv"]);
    assert!(text.contains("of 16 samples"), "{text}");
    let csv = fs::read_to_string(folder.join("out.csv")).unwrap();
    assert!(csv.starts_with("file,label,class,probability,lying,upright\n"), "{csv}");
    assert_eq!(column(&csv, "file")[0], "lying/000.png");
    assert_eq!(column(&csv, "label")[8], "upright");
    let text = says(folder, &["predict", "bars.safetensors", "new/upright"]);
    assert!(text.contains("003.png") && !text.contains("accuracy"), "{text}");
    says(folder, &["predict", "bars.safetensors", "new/upright/003.png"]);
    // A folder with train and test: the test.
    fs::create_dir(folder.join("both")).unwrap();
    fs::rename(folder.join("new"), folder.join("both/test")).unwrap();
    bars(&folder.join("both/train"), 28, 3);
    assert!(says(folder, &["predict", "bars.safetensors", "both"]).contains("of 16 samples"));

    // Larger ones: refused, unless they are to be resized; and trained on by another model.
    bars(&folder.join("large"), 40, 20);
    refuses(
        folder,
        &["predict", "bars.safetensors", "large"],
        &["28 × 28 pixels", "40 × 40 pixels", "resize"],
    );
    says(folder, &["predict", "bars.safetensors", "large", "--resize"]);
    let text = says(folder, &["train", "large", "--epochs", "1", "--take", "20", "--batch-size", "8"]);
    assert!(
        text.contains("model resnet18 (for images larger than 32 × 32; --model chooses another)"),
        "{text}"
    );
    let text = says(folder, &["train", "large", "--resize", "28,28", "--epochs", "1"]);
    assert!(text.contains("model lenet"), "{text}");
    refuses(folder, &["predict", "bars.safetensors", "nowhere/at/all"], &["nowhere/at/all"]);
}

#[test]
fn arrays_are_trained_on_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let npy = |name: &str, descr: &str, shape: &str, bytes: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        let all = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat();
        fs::write(folder.join(name), all).unwrap();
    };
    let inputs: Vec<u8> =
        (0..200_u8).flat_map(|i| [f32::from(i % 2), f32::from(i)]).flat_map(f32::to_le_bytes).collect();
    let labels: Vec<u8> = (0..200_u8).map(|i| i % 2).collect();
    npy("x.npy", "<f4", "(200, 2)", &inputs);
    npy("y.npy", "|u1", "(200,)", &labels);
    npy("short.npy", "|u1", "(199,)", &labels[1..]);
    says(folder, &["train", "x.npy", "--labels", "y.npy", "--epochs", "10", "--save", "a.safetensors"]);
    let text = says(folder, &["predict", "a.safetensors", "x.npy", "--labels", "y.npy", "--csv", "out.csv"]);
    assert!(text.contains("accuracy 100.00 % of 200 samples"), "{text}");
    assert!(says(folder, &["predict", "a.safetensors", "x.npy"]).contains("probability"));
    refuses(
        folder,
        &["predict", "a.safetensors", "x.npy", "--labels", "short.npy"],
        &["short.npy: expected 200 labels", "199 labels"],
    );
    fs::write(folder.join("t.csv"), "a,b\n1,2\n").unwrap();
    refuses(folder, &["predict", "a.safetensors", "t.csv"], &["the model's file knows no columns"]);
}

#[test]
fn help_lists_every_model_and_none_else_is_taken() {
    let help = says(Path::new("."), &["train", "--help"]);
    for name in glisten::model::NAMES.into_iter().chain([glisten::model::AUTO]) {
        assert!(help.contains(name), "{name} is not in {help}");
    }
    let folder = tempfile::tempdir().unwrap();
    refuses(
        folder.path(),
        &["train", "fashion-mnist", "--model", "resnet"],
        &["no model named 'resnet'; did you mean 'resnet18'? There are: lenet, resnet18, mlp"],
    );
}

/// Sorted by class, as the files of a folder and many tables are: the first 20 would be of one class.
#[test]
fn a_part_of_ones_own_data_has_every_class() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    bars(&folder.join("bars"), 28, 60);
    let mut csv = String::from("x,y\n");
    (0..300).for_each(|i| csv.push_str(&format!("{i},{}\n", ["a", "b", "c"][i / 100])));
    fs::write(folder.join("sorted.csv"), csv).unwrap();
    for (data, n, shares) in
        [("bars", 20, vec![10, 10]), ("sorted.csv", 30, vec![10, 10, 10]), ("sorted.csv", 7, vec![3, 2, 2])]
    {
        let spec = glisten::data::DataSpec::new(folder.join(data).to_str().unwrap());
        let spec = if data == "bars" { spec } else { spec.target("y") };
        let sample = spec.load().unwrap().take_sample(n, 42).unwrap();
        assert_eq!(sample.train.class_counts(sample.n_classes()).unwrap(), shares, "{data} {n}");
        let again = spec.load().unwrap().take_sample(n, 42).unwrap();
        assert_eq!(sample.fingerprint().unwrap(), again.fingerprint().unwrap());
        let other = spec.load().unwrap().take_sample(n, 43).unwrap();
        assert_ne!(sample.fingerprint().unwrap(), other.fingerprint().unwrap());
    }
    // The split of a run takes it: both classes are there to be told apart.
    let spec = glisten::data::DataSpec::new(folder.join("bars").to_str().unwrap());
    let splits = spec.load_split(Some(20), glisten::data::Split::default()).unwrap();
    assert!(splits.train.class_counts(2).unwrap().iter().all(|&n| n >= 8));
    says(folder, &["train", "bars", "--take", "20", "--epochs", "1", "--batch-size", "8"]);
}
