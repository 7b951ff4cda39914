//! Glisten in JupyterLab, as its user sees it: `tests/jupyter/lab.py` runs the example notebook in headless Chromium.

use std::process::Command;

use super::support::{from_setup, skipped};

#[test]
fn a_notebook_runs_shows_and_stops_in_jupyterlab() {
    let python = from_setup("GLISTEN_TEST_PYTHON");
    let Some(browser) = std::env::var_os("GLISTEN_CHROMIUM") else {
        skipped("jupyterlab", "no Chromium here, and none could be installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python)
        .arg(root.join("tests/jupyter/lab.py"))
        .arg("--browser")
        .arg(browser)
        .arg("--folder")
        .arg(folder.path().join("lab"))
        .arg(root.join("notebooks/01-how-much-data.ipynb"))
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
    for seen in
        ["the runs are a table", "the charts are drawn", "the bar moves", "stop button stops", "still there"]
    {
        assert!(said.contains(seen), "nothing is said of '{seen}': {said}{log}");
    }
}
