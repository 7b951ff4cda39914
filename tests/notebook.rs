//! The example notebooks through the kernel, with a real Jupyter client (nbclient), on small slices of the data.

use std::path::Path;
use std::process::Command;

use super::support::from_setup;

/// The notebook with its cell tagged `parameters` replaced, as papermill does it.
fn with_parameters(notebook: &str, parameters: &str) -> String {
    let mut notebook: serde_json::Value = serde_json::from_str(notebook).unwrap();
    let cells = notebook["cells"].as_array_mut().unwrap();
    let tagged = cells.iter_mut().find(|cell| cell["metadata"]["tags"][0] == "parameters").unwrap();
    tagged["source"] = parameters.into();
    notebook.to_string()
}

/// Runs a notebook, changed by `change`, in `folder`: what the client printed, and the notebook with its outputs.
fn run(name: &str, change: impl Fn(&str) -> String, folder: &Path) -> (String, String) {
    let python = from_setup("GLISTEN_TEST_PYTHON");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("notebooks").join(name)).unwrap();
    let small = folder.join("small.ipynb");
    std::fs::write(&small, change(&example)).unwrap();
    let output = Command::new(&python)
        .arg(root.join("xtask/src/run_notebook.py"))
        .arg(&small)
        .arg(folder.join(name))
        .current_dir(folder)
        .env_remove("GLISTEN_STORE")
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let log =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    (log, text)
}

/// The outputs of all cells.
fn outputs(notebook: &str) -> Vec<serde_json::Value> {
    let notebook: serde_json::Value = serde_json::from_str(notebook).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    cells.iter().filter_map(|cell| cell["outputs"].as_array()).flatten().cloned().collect()
}

#[test]
fn the_notebook_about_data_of_ones_own_runs_through_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let (log, text) = run("03-your-own-data.ipynb", str::to_owned, folder.path());
    let outputs = outputs(&text);
    assert!(outputs.iter().all(|output| output["output_type"] != "error"), "{log}");
    let html: String = outputs.iter().map(|output| output["data"]["text/html"].to_string()).collect();
    assert!(
        html.contains("soil missing") && html.contains("288 to train on, 32 to validate, 80 to test"),
        "{html}"
    );
    assert!(text.contains("28 of 288 labels are wrong"));
}

#[test]
fn the_notebook_of_the_lenet_study_runs_through_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let sweeps = folder.path().join("sweeps");
    std::fs::create_dir(&sweeps).unwrap();
    let sweep = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/sweeps/lenet-fashion-mnist.toml");
    std::fs::copy(sweep, sweeps.join("lenet-fashion-mnist.toml")).unwrap();
    let parameters = "let sweep_file = \"sweeps/lenet-fashion-mnist.toml\";\nlet take: Option<usize> = Some(1_500);\n\
                      let epochs: usize = 2;\nlet seeds: Vec<u64> = vec![0];";
    let (log, text) =
        run("02-lenet-study.ipynb", |notebook| with_parameters(notebook, parameters), folder.path());
    let outputs = outputs(&text);
    assert!(outputs.iter().all(|output| output["output_type"] != "error"), "{log}");
    let html: String = outputs.iter().map(|output| output["data"]["text/html"].to_string()).collect();
    for expected in ["fixed-random", "times chosen", "mean gain", "Ankle boot", "probability"] {
        assert!(html.contains(expected), "{expected}: {html}");
    }
    assert!(folder.path().join("report.html").is_file() && folder.path().join("lenet.safetensors").is_file());
}

#[test]
fn the_example_notebook_runs_through_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = "let n_images: usize = 1_500;\nlet epochs: usize = 2;\nlet seeds: u64 = 1;";
    let (log, text) =
        run("01-how-much-data.ipynb", |notebook| with_parameters(notebook, parameters), folder.path());
    let outputs = outputs(&text);
    let has =
        |mime: &str, text: &str| outputs.iter().any(|output| output["data"][mime].to_string().contains(text));
    assert!(outputs.iter().all(|output| output["output_type"] != "error"), "{log}");
    assert!(has("text/html", "<table"), "the runs are shown as a table");
    assert!(has("text/html", "validation:accuracy.max"));
    assert!(has("text/html", "parameters.strategy"), "what differs between two runs");
    assert!(has("image/svg+xml", "<svg"), "the chart is shown as SVG");
    for run in ["full seed 0", "auto 50 % seed 0", "glister 10 % seed 0", "fresh-random 30 % seed 0"] {
        assert!(text.contains(run), "{run} is missing");
    }
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("fresh"));
}
