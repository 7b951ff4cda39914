//! The report opened in headless Chromium: no console error, no request that leaves the file.

use std::path::Path;
use std::process::Command;

use glisten::prelude::*;

use super::support::skipped;

/// An experiment with hostile names and made-up metrics, reported.
fn write_report(folder: &Path) -> std::path::PathBuf {
    let store = Store::open(folder.join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "<script>console.error('name')</script>").unwrap();
    for (strategy, fraction, accuracy, secs) in
        [("full", 1.0, 0.90, 10.0), ("glister", 0.3, 0.86, 3.5), ("fresh-random", 0.3, 0.88, 3.0)]
    {
        for seed in 0..3_i64 {
            let run =
                study.start_run(&format!("{strategy} \"<img src=https://example.invalid/{seed}>\"")).unwrap();
            run.log_parameter("strategy", strategy).unwrap();
            run.log_parameter("fraction", fraction).unwrap();
            run.log_parameter("seed", seed).unwrap();
            for epoch in 1..=5_i64 {
                let value = accuracy - 0.3 / epoch as f64 + 0.001 * seed as f64;
                let metrics =
                    [("validation:accuracy", value), ("epoch:seconds", secs), ("selection:seconds", 0.1)];
                run.log_metrics(epoch, &metrics).unwrap();
            }
            run.log_metrics(
                5,
                &[("test:accuracy", accuracy + 0.002 * seed as f64), ("run:seconds", 5.0 * secs)],
            )
            .unwrap();
            run.complete().unwrap();
        }
    }
    let path = folder.join("report.html");
    study.report(&path).unwrap();
    path
}

#[test]
fn the_report_opens_without_a_console_error_and_asks_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = write_report(folder.path());
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(!html.contains("<script>console"), "a name is never markup");
    let Some(browser) = std::env::var_os("GLISTEN_CHROMIUM") else {
        skipped("report_in_browser", "no Chromium here, and none could be installed");
        return;
    };
    let net_log = folder.path().join("net.json");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--log-net-log={}", net_log.display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", report.display()))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert_eq!(dom.matches("<svg").count(), html.matches("<svg").count(), "every chart was parsed as one");
    assert!(html.matches("<svg").count() >= 3);
    let console: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:?}");
    let requests = std::fs::read_to_string(&net_log).unwrap();
    assert!(!requests.contains("example.invalid"), "an image in a name was asked for");
    // What the page itself could ask for: an address in a tag or a style.
    let tags = html.split('<').filter_map(|rest| rest.split('>').next());
    let styles = html.split("<style").skip(1).filter_map(|rest| rest.split("</style>").next());
    for piece in tags.chain(styles) {
        let asks = ["src=", "href=", "url(", "@import"].iter().any(|word| piece.contains(word));
        assert!(!(asks && piece.contains("//")), "{piece}");
    }
    let left: Vec<_> = requests
        .match_indices("\"url\":\"http")
        .map(|(at, _)| &requests[at..(at + 90).min(requests.len())])
        // Chromium's own start-up calls, which stand in the log before any page is opened.
        .filter(|url| !["google", "gstatic", "chrome"].iter().any(|own| url.contains(own)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
