//! Reports of 0 to 1,000 runs as a reader sees them: in headless Chromium, light, dark, on a phone and on paper.
//!
//! `GLISTEN_PICTURES=FOLDER` keeps a picture of each, to look at.

mod chromium;
mod made_up;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chromium::Chromium;
use glisten_reports::{Options, Section, Tables, Theme, render, render_tables};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const AXE: &str = "4.10.3";
const DARK: &str = "rgb(21, 24, 28)";
const LIGHT: &str = "rgb(255, 255, 255)";

/// A folder that goes away with the test, and the browser in it; none where there is no browser.
struct Bench {
    browser: Chromium,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let Some(program) = chromium::find() else {
            skipped(test, "no Chromium here");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        Some(Self { browser: Chromium::start(&program, folder.path()), folder })
    }

    fn write(&self, name: &str, html: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.html"));
        fs::write(&path, html).unwrap();
        path
    }

    /// Nothing said, nothing asked for, nothing wider than the page.
    fn assert_quiet(&mut self, what: &str) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{what}: {complaints:#?}");
        let over = self.browser.value(
            "[document.documentElement.scrollWidth - document.documentElement.clientWidth,
              ...[...document.querySelectorAll('body *')].filter((one) => !one.closest('.scroll, svg, details:not([open])')
                && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
                .map((one) => one.outerHTML.slice(0, 120))]",
        );
        assert_eq!(over, json!([0]), "{what}: wider than the page");
    }
}

/// As in the tests of the workspace's root.
fn skipped(name: &str, reason: &str) {
    use std::io::Write;
    println!("SKIPPED {name}: {reason}");
    if let Some(list) = std::env::var_os("GLISTEN_SKIPPED") {
        let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{name}: {reason}").unwrap();
    }
}

/// The source of axe-core, from npm once.
fn axe() -> Result<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("axe-core-{AXE}"));
    let file = folder.join("package/axe.min.js");
    if !file.is_file() {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        let part = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
        let run = |program: &str, arguments: &[&str]| -> Result<(), String> {
            let output = Command::new(program)
                .args(arguments)
                .current_dir(part.path())
                .output()
                .map_err(|error| format!("{program}: {error}"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() { Ok(()) } else { Err(format!("{program} {arguments:?}: {said}")) }
        };
        run("npm", &["pack", "--silent", &format!("axe-core@{AXE}")])?;
        run("tar", &["xzf", &format!("axe-core-{AXE}.tgz")])?;
        // Another test may have been quicker; then its copy stays.
        let _ = fs::rename(part.path(), &folder);
    }
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

fn html(n_runs: usize, options: &Options) -> String {
    let made_up = made_up::runs(n_runs, if n_runs > 100 { 300 } else { 20 });
    let images = made_up::images(12, n_runs.saturating_sub(1).min(6));
    let tables = Tables {
        classes: Some(&made_up.classes),
        images: &images,
        ..Tables::new(&made_up.runs, &made_up.metrics)
    };
    render_tables(tables, options).unwrap()
}

/// With everything that options can add.
fn full_options() -> Options {
    Options {
        author: Some("A. Researcher".to_owned()),
        notes: Some("# Why\n\nIt *matters*: see [the paper](https://arxiv.org/abs/2012.10630).\n\n| a | b |\n|---|---|\n| 1 | 2 |".to_owned()),
        how_made: vec!["glisten report how-much-data -o report.html".to_owned()],
        ..Options::default()
    }
}

#[test]
fn a_report_of_any_size_reads_well_everywhere() {
    let Some(mut bench) = Bench::new("a_report_of_any_size_reads_well_everywhere") else { return };
    let pictures = std::env::var_os("GLISTEN_PICTURES").map(PathBuf::from);
    for n_runs in [0, 1, 5, 100, 1000] {
        let page = html(n_runs, &full_options());
        let file = bench.write(&n_runs.to_string(), &page);
        for (name, width, scheme, media, paper) in [
            ("light", 1280, "light", "screen", LIGHT),
            ("dark", 1280, "dark", "screen", DARK),
            ("phone", 390, "light", "screen", LIGHT),
            // A4 less its margins, at 96 dots an inch; a dark system prints on white.
            ("print", 688, "dark", "print", LIGHT),
        ] {
            let what = format!("{n_runs} runs, {name}");
            bench.browser.open(&file, width, scheme, media);
            bench.assert_quiet(&what);
            let ground = bench.browser.value("getComputedStyle(document.documentElement).backgroundColor");
            assert_eq!(ground, json!(paper), "{what}");
            // On paper nothing can be unfolded: what all runs share is there, the numbers of charts are not.
            let is_shown = |browser: &mut Chromium, what: &str| {
                browser.value(&format!(
                    "[...document.querySelectorAll('{what}')].map((one) => one.checkVisibility({{ contentVisibilityAuto: true }}))"
                ))
            };
            let facts = is_shown(&mut bench.browser, ".shared dl");
            assert_eq!(facts, if n_runs == 0 { json!([]) } else { json!([name == "print"]) }, "{what}");
            let numbers = is_shown(&mut bench.browser, "figure details table");
            assert!(!numbers.as_array().unwrap().contains(&json!(true)), "{what}: {numbers}");
            if let Some(folder) = &pictures {
                fs::create_dir_all(folder).unwrap();
                let picture = STANDARD.decode(bench.browser.picture()).unwrap();
                fs::write(folder.join(format!("{n_runs}-{name}.png")), picture).unwrap();
            }
        }
        assert_eq!(
            bench.browser.value("document.querySelectorAll('svg').length"),
            json!(page.matches("<svg").count()),
            "every chart was parsed as one"
        );
        let first_screen =
            bench.browser.value("document.querySelector('.headline').getBoundingClientRect().bottom");
        assert!(first_screen.as_f64().unwrap() < 900.0, "the answer is on the first screen: {first_screen}");
    }
}

#[test]
fn axe_finds_nothing_to_mend() {
    const NAME: &str = "axe_finds_nothing_to_mend";
    let axe = match axe() {
        Ok(axe) => axe,
        Err(why) => return skipped(NAME, &why),
    };
    let Some(mut bench) = Bench::new(NAME) else { return };
    let dark = Options { theme: Theme::Dark, baseline: None, ..full_options() };
    let hostile = Options { title: Some("<b>\u{202E}title</b>".to_owned()), ..full_options() };
    for (n_runs, scheme, width, options) in [
        (0, "light", 1280, &full_options()),
        (1, "light", 1280, &full_options()),
        (5, "dark", 1280, &full_options()),
        (5, "light", 390, &hostile),
        (21, "light", 1280, &dark),
        (100, "light", 1280, &full_options()),
        (1000, "light", 1280, &full_options()),
    ] {
        let file = bench.write("page", &html(n_runs, options));
        bench.browser.open(&file, width, scheme, "screen");
        // What is folded is to be read as well.
        bench.browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
        bench.browser.value(&format!("{axe}; 0"));
        let found = bench.browser.value(
            "axe.run(document, { resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }).then((found) =>
               [found.passes.length, found.violations.map((one) => [one.id, one.help, one.nodes.length,
                 one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary)])])",
        );
        assert_eq!(found[1], json!([]), "{n_runs} runs, {scheme}: {found:#}");
        assert!(found[0].as_u64().unwrap() > 15, "so many rules had something to look at: {found}");
    }
}

#[test]
fn the_table_of_runs_is_sorted_by_mouse_and_keys() {
    let Some(mut bench) = Bench::new("the_table_of_runs_is_sorted_by_mouse_and_keys") else { return };
    let file = bench.write("page", &html(21, &full_options()));
    bench.browser.open(&file, 1280, "light", "screen");
    let heading = |name: &str| {
        format!("[...document.querySelectorAll('.sortable th')].find((one) => one.textContent === '{name}')")
    };
    let column = |name: &str| {
        let heading = heading(name);
        format!(
            "[...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[{heading}.cellIndex].textContent)"
        )
    };
    let sorted = |name: &str| format!("{}.getAttribute('aria-sort')", heading(name));

    let seconds = |browser: &mut Chromium| -> Vec<f64> {
        let expression = format!(
            "[...document.querySelectorAll('.sortable tbody tr')].map((row) => +row.cells[{}.cellIndex].dataset.v)",
            heading("Training")
        );
        browser.value(&expression).as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    bench.browser.value(&format!("{}.firstChild.click()", heading("Training")));
    assert_eq!(bench.browser.value(&sorted("Training")), json!("descending"));
    let found = seconds(&mut bench.browser);
    assert!(found.len() == 21 && found.is_sorted_by(|a, b| a >= b), "{found:?}");

    bench.browser.value(&format!("{}.firstChild.focus()", heading("Training")));
    bench.browser.press("Enter", 13);
    assert_eq!(bench.browser.value(&sorted("Training")), json!("ascending"));
    assert!(seconds(&mut bench.browser).is_sorted());

    bench.browser.value(&format!("{}.firstChild.click()", heading("Run")));
    assert_eq!(bench.browser.value(&sorted("Run")), json!("ascending"));
    assert_eq!(bench.browser.value(&sorted("Training")), json!(null), "one column at a time");
    let names = bench.browser.value(&column("Run"));
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(
        names[..4],
        [
            "fresh-random 10 % seed 0",
            "fresh-random 10 % seed 1",
            "fresh-random 10 % seed 2",
            "fresh-random 30 % seed 0"
        ]
    );
    assert!(bench.browser.complaints().is_empty());
}

#[test]
fn the_policy_lets_no_other_script_run() {
    let Some(mut bench) = Bench::new("the_policy_lets_no_other_script_run") else { return };
    // As if a name had become markup after all.
    let page = html(5, &full_options());
    let broken = page.replacen(
        "<main>",
        "<main><script>document.title = 'run'</script><img src=\"https://example.invalid/x.png\">",
        1,
    );
    let file = bench.write("page", &broken);
    bench.browser.open(&file, 1280, "light", "screen");
    assert_ne!(bench.browser.value("document.title"), json!("run"));
    let complaints = bench.browser.complaints();
    assert!(complaints.iter().any(|one| one.contains("Content Security Policy")), "{complaints:?}");
    assert!(!complaints.iter().any(|one| one.starts_with("asked for https")), "{complaints:?}");
}

#[test]
fn a_theme_that_is_chosen_counts_more_than_the_systems() {
    let Some(mut bench) = Bench::new("a_theme_that_is_chosen_counts_more_than_the_systems") else { return };
    for (theme, scheme, ground) in [(Theme::Light, "dark", LIGHT), (Theme::Dark, "light", DARK)] {
        let file = bench.write("page", &html(5, &Options { theme, ..Options::default() }));
        bench.browser.open(&file, 1280, scheme, "screen");
        let found = bench.browser.value(
            "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.querySelector('svg rect')).fill]",
        );
        assert_eq!(found, json!([ground, ground]), "page and paper of the charts, {theme:?}");
    }
}

#[test]
fn sections_that_are_left_out_leave_a_whole_page() {
    let Some(mut bench) = Bench::new("sections_that_are_left_out_leave_a_whole_page") else { return };
    let options = Options { without: Section::ALL.map(|one| one.1).to_vec(), ..full_options() };
    let made_up = made_up::runs(5, 3);
    let page = render(&made_up.runs, &made_up.metrics, &options).unwrap();
    let file = bench.write("page", &page);
    bench.browser.open(&file, 1280, "light", "screen");
    bench.assert_quiet("nothing but the answer");
    assert_eq!(bench.browser.value("document.querySelectorAll('h2, table, svg').length"), json!(0));
    assert!(
        bench.browser.value("document.querySelector('.headline').textContent").as_str().unwrap().len() > 40
    );
}
