//! The example notebook through the kernel, with a real Jupyter client (nbclient), on a small slice of the data.

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

#[test]
fn the_example_notebook_runs_through_the_kernel() {
    let python = from_setup("GLISTEN_TEST_PYTHON");
    let folder = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join("notebooks/01-how-much-data.ipynb")).unwrap();
    let small = folder.path().join("small.ipynb");
    let parameters = "let n_images: usize = 1_500;\nlet epochs: usize = 2;\nlet seeds: u64 = 1;";
    std::fs::write(&small, with_parameters(&example, parameters)).unwrap();
    let output = Command::new(&python)
        .arg(root.join("xtask/src/run_notebook.py"))
        .arg(&small)
        .arg(folder.path().join("01-how-much-data.ipynb"))
        .current_dir(folder.path())
        .env_remove("GLISTEN_STORE")
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let log =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");

    let text = std::fs::read_to_string(folder.path().join("01-how-much-data.ipynb")).unwrap();
    let notebook: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    let outputs: Vec<&serde_json::Value> =
        cells.iter().filter_map(|cell| cell["outputs"].as_array()).flatten().collect();
    let has =
        |mime: &str, text: &str| outputs.iter().any(|output| output["data"][mime].to_string().contains(text));
    assert!(outputs.iter().all(|output| output["output_type"] != "error"), "{log}");
    assert!(has("text/html", "<table"), "the runs are shown as a table");
    assert!(has("text/html", "validation:accuracy.max"));
    assert!(has("image/svg+xml", "<svg"), "the chart is shown as SVG");
    for run in ["full seed 0", "glister 50 % seed 0", "glister 10 % seed 0", "fresh-random 30 % seed 0"] {
        assert!(text.contains(run), "{run} is missing");
    }
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("fresh"));
}
