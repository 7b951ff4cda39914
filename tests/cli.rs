//! The `glisten` program as its users call it.

use std::path::Path;
use std::process::{Command, Output};

use super::support::glisten;

fn run(command: &mut Command) -> (String, String, Option<i32>) {
    let Output { stdout, stderr, status } = command.output().unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), status.code())
}

#[test]
fn help_of_every_command_has_an_example() {
    let (help, _, code) = run(glisten().arg("--help"));
    assert_eq!(code, Some(0));
    for command in [
        "train", "sweep", "predict", "runs", "logs", "watch", "report", "export", "import", "delete", "data",
        "doctor",
    ] {
        assert!(help.contains(command), "{help}");
    }
    for arguments in [
        &["train"][..],
        &["sweep"],
        &["predict"],
        &["runs"],
        &["logs"],
        &["watch"],
        &["report"],
        &["export"],
        &["import", "mlflow"],
        &["import", "sagemaker"],
        &["delete"],
        &["data", "fetch"],
        &["doctor"],
    ] {
        let (help, _, code) = run(glisten().args(arguments).arg("--help"));
        assert_eq!(code, Some(0));
        assert!(help.contains("Example"), "{arguments:?}: {help}");
    }
}

#[test]
fn a_path_that_the_processor_lacks_is_an_error_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let expected = "GLISTEN_CPU: expected a path that this processor has (generic";
    for arguments in
        [&["train", "fashion-mnist"][..], &["sweep", "none.toml"], &["predict", "none.safetensors", "mnist"]]
    {
        for name in ["avx1024", "AVX2", "avx512-bf16-amx"] {
            let command = &mut glisten();
            let (text, errors, code) =
                run(command.args(arguments).env("GLISTEN_CPU", name).current_dir(folder.path()));
            assert_eq!(code, Some(1), "{text}{errors}");
            assert!(errors.contains(expected) && errors.contains(&format!("got '{name}'")), "{errors}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
    let (text, errors, code) = run(glisten().arg("doctor").env("GLISTEN_CPU", "avx1024"));
    assert_eq!(code, Some(1), "{text}{errors}");
    assert!(text.contains(expected) && text.contains("!! cpu"), "{text}");
    // What does not compute does not ask.
    let (text, errors, code) = run(glisten().args(["runs", "--help"]).env("GLISTEN_CPU", "avx1024"));
    assert_eq!(code, Some(0), "{text}{errors}");
}

#[test]
fn doctor_says_what_there_is() {
    let (text, errors, _) = run(glisten().arg("doctor"));
    let header =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".libtorch/source.json")).unwrap();
    let source: serde_json::Value = serde_json::from_str(&header).unwrap();
    let (version, folder) = (source["version"].as_str().unwrap(), source["source"].as_str().unwrap());
    let path = format!("{} instructions", glisten::ops::cpu_path().unwrap());
    for what in ["libtorch", version, folder, "device", &path, "threads", "rustc", "bundle", "data"] {
        assert!(text.contains(what), "{text}{errors}");
    }
    // The least path is there on every machine.
    let (text, _, _) = run(glisten().arg("doctor").env("GLISTEN_CPU", "generic"));
    assert!(text.contains("ok cpu        generic instructions"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bundle.json"), r#"{"rustc": "rustc 1.0.0 (long ago)"}"#).unwrap();
    let (text, _, code) = run(glisten().arg("doctor").env("GLISTEN_BUNDLE", folder.path()));
    assert_eq!(code, Some(1), "a bundle of another rustc does not fit");
    assert!(text.contains("rustc 1.0.0 (long ago)") && text.contains("cargo xtask bundle"), "{text}");
}

#[test]
fn train_runs_and_report_on_real_data() {
    let folder = tempfile::tempdir().unwrap();
    let glisten = || {
        let mut command = glisten();
        command.current_dir(folder.path());
        command
    };
    let small = ["--take", "1200", "--epochs", "2", "--batch-size", "50", "--experiment", "small"];
    for (strategy, fraction) in [("full", "1"), ("glister", "0.3"), ("fresh-random", "0.3")] {
        let (text, errors, code) = run(glisten()
            .args(["train", "fashion-mnist", "--strategy", strategy, "--fraction", fraction])
            .args(small));
        assert_eq!(code, Some(0), "{errors}");
        assert!(text.contains("test accuracy"), "{text}");
    }
    let (text, _, code) =
        run(glisten().args(["runs", "small", "--sort-by", "metrics.Validation:Accuracy.max"]));
    assert_eq!(code, Some(0));
    assert!(text.contains("glister 30 % seed 0") && text.contains("completed"), "{text}");
    let (csv, _, _) = run(glisten().args(["runs", "small", "--csv"]));
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(
        csv.starts_with("run,") && csv.contains(",fraction,") && csv.contains("validation:accuracy.max"),
        "{csv}"
    );
    let (text, errors, code) = run(glisten().args(["report", "small", "-o", "small.html"]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("small.html"), "{text}");
    let html = std::fs::read_to_string(folder.path().join("small.html")).unwrap();
    assert!(
        html.contains("Choosing beside fresh random") && !html.contains("Fresh random is missing"),
        "{html}"
    );
    let (text, _, _) = run(glisten().args(["runs", "--csv"]));
    let (header, line) = text.trim_end().split_once('\n').unwrap();
    assert_eq!(header, "experiment,runs,running,completed,failed,stopped,created");
    assert!(line.starts_with("small,3,0,3,0,0,"), "{text}");
}

/// Two threads, as users have them: the sums of a reduction must not depend on which thread came first.
#[test]
fn two_threads_give_one_result_too() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let arguments = ["train", "fashion-mnist", "--strategy", "glister", "--fraction", "0.3"];
        let small = ["--take", "1500", "--epochs", "2", "--experiment", "twice"];
        let mut command = glisten();
        command.args(arguments).args(small).current_dir(folder.path()).env("OMP_NUM_THREADS", "2");
        let (_, errors, code) = run(&mut command);
        assert_eq!(code, Some(0), "{errors}");
    }
    let store = glisten::track::Store::open(folder.path().join("glisten.db")).unwrap();
    let of_run = |run: &str| {
        let points = store.metric_points(Some("twice"), None).unwrap().into_iter();
        let points = points.filter(|point| point.run == run && !point.metric.ends_with(":seconds"));
        points.map(|point| (point.metric, point.step, point.value)).collect::<Vec<_>>()
    };
    let first = of_run("glister 30 % seed 0");
    // Two epochs of loss and accuracy in training and validation; loss, accuracy and balanced accuracy of the test.
    assert_eq!(first.len(), 2 * 4 + 3);
    assert_eq!(first, of_run("glister 30 % seed 0-2"));
}

#[test]
fn a_run_that_has_come_to_nothing_yet_is_shown_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = glisten::track::Store::open(folder.path().join("glisten.db")).unwrap();
    let study = glisten::track::Experiment::create_in(&store, "young").unwrap();
    for arguments in [&["runs", "young"][..], &["runs", "young", "--csv"], &["runs", "young", "--all"]] {
        assert_eq!(run(glisten().args(arguments).current_dir(folder.path())).2, Some(0), "{arguments:?}");
    }
    let _run = study.start_run("first").unwrap();
    for arguments in [&["runs", "young"][..], &["runs", "young", "--csv"], &["runs", "young", "--all"]] {
        let (text, errors, code) = run(glisten().args(arguments).current_dir(folder.path()));
        assert!(code == Some(0) && text.contains("first"), "{arguments:?}: {text}{errors}");
    }
}

#[test]
fn mistakes_are_answered_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["runs", "x"], "no store there"),
        (&["report", "x"], "no store there"),
        (&["train", "fashion-mnits"], "fashion-mnist"),
        (&["train", "mnist", "--strategy", "glistr", "--fraction", "0.5"], "did you mean 'glister'"),
        (&["train", "mnist", "--strategy", "glister", "--fraction", "1.5"], "above 0 and up to 1"),
        (&["train", "mnist", "--epochs", "0"], "epochs: expected 1 to"),
        (&["train", "mnist", "--select-every", "3"], "only glister"),
        (&["train", "mnist", "--device", "tpu"], "'auto', 'cpu', 'cuda'"),
        (&["sweep", "none.toml"], "none.toml"),
        (&["data", "fetch", "imagenet"], "mnist, fashion-mnist, cifar10"),
    ];
    for (arguments, expected) in cases {
        let (_, errors, code) = run(glisten().args(arguments).current_dir(folder.path()));
        assert_eq!(code, Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing half-written is left");
}

#[test]
fn a_sweep_that_was_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = folder.path().join("sweep.toml");
    std::fs::write(
        &sweep,
        "experiment = \"killed\"\ndata = \"fashion-mnist\"\nselections = [\"glister\", \"fresh-random\"]\n\
         fractions = [0.3]\nseeds = [0, 1]\nepochs = 3\ntake = 6000\n",
    )
    .unwrap();
    let mut process = glisten().arg("sweep").arg(&sweep).current_dir(folder.path()).spawn().unwrap();
    let store = folder.path().join("glisten.db");
    wait_for_completed_runs(&store, 1);
    process.kill().unwrap();
    process.wait().unwrap();
    let (text, errors, code) =
        run(glisten().arg("sweep").arg(&sweep).args(["--report", "r.html"]).current_dir(folder.path()));
    assert_eq!(code, Some(0), "{errors}");
    let n_before: usize =
        text.split("6 runs, ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!((1..6).contains(&n_before), "{text}");
    assert!(folder.path().join("r.html").is_file());
    let store = glisten::track::Store::open(&store).unwrap();
    let completed = store.run_records(Some("killed")).unwrap();
    assert_eq!(completed.iter().filter(|run| run.status == glisten::track::Status::Completed).count(), 6);
    assert!(
        completed.iter().all(|run| run.status != glisten::track::Status::Running),
        "the killed one is marked"
    );
}

fn wait_for_completed_runs(path: &Path, n: usize) {
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if !path.is_file() {
            continue;
        }
        let records = glisten::track::Store::open(path).unwrap().run_records(None).unwrap();
        if records.iter().filter(|run| run.status == glisten::track::Status::Completed).count() >= n {
            return;
        }
    }
    panic!("no run was completed within a minute");
}

/// `cargo xtask study lenet --quick` calls the program so, for each data set; and `glisten predict` with what was saved.
#[test]
fn a_sweep_of_the_study_writes_its_report_and_figures_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/sweeps/lenet-fashion-mnist.toml");
    let quick = ["--take", "900", "--epochs", "2", "--seeds", "0,1", "--device", "cpu"];
    let run_sweep = || {
        run(glisten().current_dir(folder.path()).arg("sweep").arg(&sweep).args(quick).args([
            "--report",
            "study.html",
            "--json",
            "study.json",
        ]))
    };
    let (text, errors, code) = run_sweep();
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("20 runs, 0 of them complete before"), "{text}");
    let report = std::fs::read_to_string(folder.path().join("study.html")).unwrap();
    assert!(report.contains("GLISTER beside figures in print"));
    let figures = std::fs::read(folder.path().join("study.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&figures).unwrap();
    let setting = &figures["summary"]["settings"][0];
    assert_eq!(setting["rows"].as_array().unwrap().len(), 10);
    assert_eq!(setting["comparisons"].as_array().unwrap().len(), 3);
    let beside = figures["beside_published"][0].as_array().unwrap();
    assert_eq!(beside.len(), 3);
    assert!(beside.iter().all(|row| row["faster"].is_boolean() && row["more_accurate"].is_boolean()));
    assert!(run_sweep().0.contains("20 runs, 20 of them complete before"));

    let (text, errors, code) = run(glisten().current_dir(folder.path()).args([
        "train",
        "fashion-mnist",
        "--take",
        "900",
        "--epochs",
        "1",
        "--save",
        "model.safetensors",
    ]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("model: model.safetensors"), "{text}");
    let (text, errors, code) = run(glisten().current_dir(folder.path()).args([
        "predict",
        "model.safetensors",
        "fashion-mnist",
        "--csv",
        "predictions.csv",
    ]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("of 10000 samples") && text.contains("Ankle boot"), "{text}");
    let csv = std::fs::read_to_string(folder.path().join("predictions.csv")).unwrap();
    assert!(csv.starts_with("row,label,class,probability,") && csv.lines().count() == 10_001);
    let (_, errors, code) =
        run(glisten().current_dir(folder.path()).args(["predict", "study.json", "mnist"]));
    assert_eq!(code, Some(1));
    assert!(errors.contains("study.json: expected a model saved by Glisten"), "{errors}");
}
