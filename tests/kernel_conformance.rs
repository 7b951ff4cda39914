//! Jupyter's conformance suite for kernels, what completion knows, and a soak; all with real clients, in Python.

use std::path::Path;
use std::process::Command;

use super::support::from_setup;

/// Runs a script of `tests/jupyter` with the Python of the set-up and returns what it printed.
fn run(script: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(from_setup("GLISTEN_TEST_PYTHON"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jupyter").join(script))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("GLISTEN_STORE")
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    let log =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    println!("{log}");
    log
}

#[test]
fn jupyter_kernel_test_passes_with_nothing_skipped() {
    let log = run("kernel_test.py", &[]);
    assert!(log.contains(" 0 skipped"), "{log}");
}

#[test]
fn completion_and_inspection_know_variables_items_glisten_polars_and_tch() {
    run("completion_test.py", &[]);
}

/// 50 cells, or 1,000 in the full run, where their latency must not grow.
#[test]
fn many_cells_in_one_session() {
    let is_full = std::env::var_os("GLISTEN_TEST_FULL").is_some();
    run("soak.py", if is_full { &["1000", "--assert-latency"] } else { &["50"] });
}
