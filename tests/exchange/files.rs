//! Parquet, CSV, JSON lines and event files: written, and read back by others' code.

use std::fs;
use std::path::{Path, PathBuf};

use polars::prelude::{AnyValue, CsvReadOptions, DataFrame, ParquetReader, SerReader};
use serde_json::Value;

use super::server::python;
use super::{METRIC, RUN, artifact_bytes, awkward_points, many, study};

fn parquet(path: &Path) -> DataFrame {
    ParquetReader::new(fs::File::open(path).unwrap()).finish().unwrap()
}

fn csv(path: &Path) -> DataFrame {
    let options = CsvReadOptions::default().with_infer_schema_length(None).with_has_header(true);
    options.try_into_reader_with_file_path(Some(path.to_owned())).unwrap().finish().unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file under `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// The values of [`METRIC`] of the first run in a table of metrics.
fn awkward_in(metrics: &DataFrame) -> Vec<(i64, f64)> {
    let text = |name: &str| metrics.column(name).unwrap().str().unwrap().clone();
    let (runs, names) = (text("run"), text("metric"));
    let (steps, values) = (metrics.column("step").unwrap(), metrics.column("value").unwrap());
    let rows = (0..metrics.height()).filter(|&at| runs.get(at) == Some(RUN) && names.get(at) == Some(METRIC));
    rows.map(|at| (steps.i64().unwrap().get(at).unwrap(), values.f64().unwrap().get(at).unwrap())).collect()
}

fn is_awkward(found: &[(i64, f64)]) -> bool {
    let bits = |points: &[(i64, f64)]| -> Vec<(i64, Option<u64>)> {
        points.iter().map(|(step, value)| (*step, (!value.is_nan()).then(|| value.to_bits()))).collect()
    };
    bits(found) == bits(&awkward_points())
}

#[test]
fn parquet_and_csv_hold_every_run_value_and_selection() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    for (extension, read) in [("parquet", parquet as fn(&Path) -> DataFrame), ("csv", csv)] {
        let out = folder.path().join("out").join(extension);
        let exported =
            if extension == "csv" { study.export().csv(&out) } else { study.export().parquet(&out) }.unwrap();
        let path = |name: &str| out.join(name).with_extension(extension);
        let (runs, metrics) = (read(&path("runs")), read(&path("metrics")));
        assert_eq!((runs.height(), exported.n_runs), (3, 3));
        assert_eq!((metrics.height(), exported.n_values), (8 + 2300 + 1, 8 + 2300 + 1));
        assert!(is_awkward(&awkward_in(&metrics)), "{extension}: {:?}", awkward_in(&metrics));
        let fraction = runs.column("fraction").unwrap().f64().unwrap().get(0).unwrap();
        assert_eq!(fraction.to_bits(), (0.1_f64 + 0.2).to_bits());
        assert_eq!(runs.column("epochs").unwrap().get(0).unwrap(), AnyValue::Int64(10));
        // Polars does not take away the quotation marks of CSV in a header.
        let name =
            runs.get_column_names().into_iter().find(|name| name.contains("größe")).unwrap().to_owned();
        let text = runs.column(&name).unwrap().get(0).unwrap().to_string();
        assert!(text.contains("the \"small\"\none"), "{text}");

        let place = out.join("runs").join("%2E.%2Ffirst%3A 日本語 🦀");
        let selections = read(&place.join("selections").with_extension(extension));
        let indices: Vec<Option<i64>> = selections.column("index").unwrap().i64().unwrap().iter().collect();
        assert_eq!(indices, [Some(3), Some(5), Some(7)]);
        assert_eq!(fs::read(place.join("artifacts/model 🦀.bin")).unwrap(), artifact_bytes());
        assert_eq!(files(&out).len(), exported.files.len(), "{:?}", files(&out));
        assert_eq!(
            files(&out).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>(),
            exported.n_bytes
        );
    }
    let text = fs::read_to_string(folder.path().join("out/csv/runs.csv")).unwrap();
    assert!(text.contains("Z,"), "times say that they are UTC: {text}");
}

#[test]
fn json_lines_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let out = folder.path().join("out");
    study.export().json_lines(&out).unwrap();
    let runs = lines(&out.join("runs.jsonl"));
    let statuses: Vec<&str> = runs.iter().map(|run| run["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "failed", "stopped"]);
    let run = &runs[0];
    assert_eq!((&run["run"], &run["experiment"]), (&RUN.into(), &"a study: ü 🦀".into()));
    assert_eq!(run["parameters"]["nesterov"], true);
    assert_eq!(run["parameters"]["epochs"], 10);
    assert_eq!(run["tags"]["team/vision"], "a,b");
    assert_eq!(run["note"], "A *note*\nof two lines");
    assert_eq!(run["artifacts"][0]["n_bytes"], 280_000);
    assert_eq!(
        (&run["metrics"][METRIC]["count"], &run["metrics"][METRIC]["nonfinite"]),
        (&5.into(), &3.into())
    );
    assert!(run["created"].as_str().unwrap().ends_with('Z') && run["ended"].is_string());
    assert!(runs[1]["error"].as_str().unwrap().contains("loss is NaN"));

    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let awkward: Vec<&str> = text.lines().filter(|line| line.contains("loss_x41_")).collect();
    for (line, (_, value)) in awkward.iter().zip(awkward_points()) {
        let written = line.split("\"value\":").nth(1).unwrap().trim_end_matches('}');
        match written.strip_prefix('"') {
            Some(text) if value.is_nan() => assert_eq!(text, "NaN\""),
            Some(text) => assert_eq!(text, if value > 0.0 { "Infinity\"" } else { "-Infinity\"" }),
            // Read by the standard library, which reads every digit.
            None => assert_eq!(written.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{line}"),
        }
    }
    assert_eq!(awkward.len(), 8);
    assert!(awkward[0].contains("\"time\":\"2023-11-14T22:13:19.998Z\""), "{}", awkward[0]);
    let selections = lines(&out.join("selections.jsonl"));
    assert_eq!(selections.len(), 1);
    assert_eq!(selections[0]["indices"], serde_json::json!([3, 5, 7]));
    assert_eq!(selections[0]["gains"], serde_json::json!(["NaN", -2.5, 0.5]));
    assert!(selections[0]["weights"].is_null());
}

#[test]
fn tensorboard_reads_the_event_files() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let out = folder.path().join("logs");
    study.export().tensorboard(&out).unwrap();
    study.export().tensorboard(&out).unwrap();
    assert_eq!(files(&out).len(), 3, "an export again takes the place of the one before");
    let found = python("tensorboard_read.py", &[out.to_str().unwrap()]);
    let run = &found["%2E.%2Ffirst%3A 日本語 🦀"];
    let points = |tag: &str| -> Vec<(i64, f64, f64)> {
        let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
        let points = run["scalars"][tag].as_array().unwrap().iter();
        points
            .map(|point| (point[0].as_i64().unwrap(), point[1].as_f64().unwrap(), number(&point[2])))
            .collect()
    };
    for ((step, time, value), (expected_step, expected)) in points(METRIC).into_iter().zip(awkward_points()) {
        assert_eq!(step, expected_step);
        assert_eq!(time, 1_700_000_000.0 + step as f64 / 1e3);
        let expected = f64::from(expected as f32);
        assert!(value == expected || value.is_nan() && expected.is_nan(), "{step}: {value} for {expected}");
    }
    assert_eq!(points(METRIC).len(), 8);
    let values: Vec<f64> = points("validation:accuracy").iter().map(|point| point.2).collect();
    assert_eq!(values, (0..2300).map(|step| f64::from(many(step) as f32)).collect::<Vec<_>>());
    let hparams = &run["hparams"];
    assert_eq!(
        (&hparams["nesterov"], &hparams["epochs"], &hparams["lr"]),
        (&true.into(), &10.0.into(), &1e-5.into())
    );
    assert_eq!(hparams["model: \"größe\""], "lenet, the \"small\"\none");
    // plugin_data.proto: 1 is STATUS_SUCCESS, 2 STATUS_FAILURE.
    assert_eq!((&run["status"], &found["failed"]["status"]), (&1.into(), &2.into()));
}

#[test]
fn only_the_runs_named_are_exported_and_a_name_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(folder.path());
    let out = folder.path().join("out");
    let export = study.export().runs(["failed"]).artifacts(false);
    assert_eq!(export.parquet(&out).unwrap().n_runs, 1);
    assert_eq!(parquet(&out.join("metrics.parquet")).height(), 1);
    assert_eq!(export.json_lines(&out).unwrap().n_values, 1);
    assert_eq!(files(&out).len(), 4, "{:?}", files(&out));
    let chosen = folder.path().join("chosen");
    study.export().artifacts(false).selections(true).parquet(&chosen).unwrap();
    let names: Vec<String> = files(&chosen).iter().map(|file| file.display().to_string()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("selections.parquet")), "{names:?}");
    let message = study.export().runs(["faled"]).csv(&out).unwrap_err().to_string();
    assert!(
        message.contains("no run named 'faled'") && message.contains("did you mean 'failed'"),
        "{message}"
    );
    let file = folder.path().join("a file");
    fs::write(&file, "x").unwrap();
    for export in
        [study.export().parquet(&file), study.export().json_lines(&file), study.export().tensorboard(&file)]
    {
        let message = export.unwrap_err().to_string();
        assert!(message.contains("a file"), "{message}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}
