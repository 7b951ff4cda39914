//! `cargo xtask test`: what is missing of the set-up, then every check and test, and closing lines that leave nothing out.
//!
//! A test that cannot run here (no browser, say) appends a line `NAME: reason` to the file that `GLISTEN_SKIPPED` names and
//! returns; it is then counted as skipped. What the user has set for themselves is kept from the tests (see
//! `test_environment.rs`), but for `GLISTEN_CPU`, which names the processor's path that they run on.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::folders::Folders;
use crate::plan::Step;
use crate::process::{self, Guarded};
use crate::setup::Ready;
use crate::{ci, python, say, setup, test_environment};

/// Numbers of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Runs everything; with a `filter`, only the tests that it matches.
///
/// # Errors
/// If a step of the set-up, a check or a test fails. One failure does not keep the others from running.
pub(crate) fn run(folders: &Folders, full: bool, filter: &[String]) -> Result<()> {
    let _cache = ci::share_target(folders)?;
    let everything = filter.is_empty();
    let mut then = Vec::new();
    if everything && !folders.cargo_target()?.join("release/.glisten-checked").is_file() {
        then.push(Step::per_core("clippy, which checks the dependencies once", 500.0, 4));
    }
    then.push(Step::per_core(
        if full { "the tests, in full" } else { "the tests" },
        if full { 7200.0 } else { 600.0 },
        2,
    ));
    if !python::has_trackers(folders) {
        then.insert(0, Step::new("MLflow and TensorBoard, for the tests alone: download 70 MB", 60.0));
    }
    let ready = setup::whole(folders, then)?;
    let trackers = python::provide_trackers(folders)?;
    let browser = browser();
    let mut failed: Vec<String> = Vec::new();
    if everything {
        for (name, args, rustdoc) in [
            ("rustfmt", &["fmt", "--all", "--check"][..], false),
            (
                "clippy",
                &["clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
                false,
            ),
            ("rustdoc", &["doc", "--release", "--workspace", "--no-deps", "--locked"], true),
        ] {
            say::step(name);
            let mut cargo = folders.cargo()?;
            if rustdoc {
                cargo.env("RUSTDOCFLAGS", "-D warnings");
            }
            if !process::succeeds(cargo.args(args))? {
                failed.push(name.to_owned());
            }
        }
        let _ = fs::write(folders.cargo_target()?.join("release/.glisten-checked"), "");
    }

    say::step("tests");
    test_environment::fix_umask();
    let skip_log = folders.target.join("skipped.txt");
    fs::write(&skip_log, "").with_context(|| format!("cannot write {}", skip_log.display()))?;
    let browser_found = browser.as_deref().ok();
    let environment = Environment {
        folders,
        ready: &ready,
        trackers: &trackers,
        browser: browser_found,
        skip_log: &skip_log,
        full,
    };
    let mut counts = Counts::default();
    let mut ignored = Vec::new();
    run_tests(&environment, filter, &mut counts, &mut ignored, &mut failed)?;
    if everything {
        say::step("examples of the documentation");
        run_doctests(&environment, &mut counts, &mut failed)?;
    }

    let skipped = fs::read_to_string(&skip_log).unwrap_or_default();
    let mut skipped: Vec<&str> = skipped.lines().filter(|line| !line.trim().is_empty()).collect();
    skipped.sort_unstable();
    skipped.dedup();
    counts.passed = counts.passed.saturating_sub(skipped.len() as u64);
    counts.skipped += skipped.len() as u64;
    eprintln!();
    if let Err(why) = &browser {
        println!("No browser: {why:#}");
    }
    for line in &skipped {
        println!("skipped {line}");
    }
    if everything {
        for name in &ignored {
            println!("skipped {name}: marked #[ignore]");
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if failed.is_empty() && counts.failed == 0 { Ok(()) } else { bail!("not all is well: see above") }
}

/// What the tests are told by variables.
struct Environment<'a> {
    folders: &'a Folders,
    ready: &'a Ready,
    /// The Python that has MLflow and TensorBoard.
    trackers: &'a Path,
    browser: Option<&'a Path>,
    skip_log: &'a Path,
    full: bool,
}

impl Environment<'_> {
    fn cargo(&self) -> Result<Command> {
        let mut cargo = self.folders.cargo()?;
        test_environment::fix(&mut cargo, &self.folders.target.join("test-jupyter"));
        cargo.env("GLISTEN_BUNDLE", &self.ready.bundle);
        cargo.env("GLISTEN_KERNEL", self.folders.program("glisten-kernel")?);
        cargo.env("GLISTEN_TEST_PYTHON", &self.ready.python);
        cargo.env("GLISTEN_TEST_TRACKERS", self.trackers);
        cargo.env("GLISTEN_SKIPPED", self.skip_log);
        cargo.env("JUPYTER_PREFER_ENV_PATH", "1").env_remove("JUPYTER_PATH");
        match self.browser {
            Some(browser) => cargo.env("GLISTEN_CHROMIUM", browser),
            None => cargo.env_remove("GLISTEN_CHROMIUM"),
        };
        if self.full {
            cargo.env("GLISTEN_TEST_FULL", "1");
        }
        // The programs of the workspace know where libtorch is; those of the documentation's examples do not.
        let mut libraries = vec![self.folders.libtorch_link().join("lib")];
        let users =
            std::env::var_os("LD_LIBRARY_PATH").and_then(|path| process::library_path_before_cargo(&path));
        libraries.extend(users.iter().flat_map(std::env::split_paths));
        cargo.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        Ok(cargo)
    }
}

/// Runs the tests with nextest, or with cargo alone where there is no nextest.
fn run_tests(
    environment: &Environment<'_>,
    filter: &[String],
    counts: &mut Counts,
    ignored: &mut Vec<String>,
    failed: &mut Vec<String>,
) -> Result<()> {
    if process::find_program(&["cargo-nextest"]).is_none() {
        say::note(
            "cargo-nextest is not installed (`cargo install cargo-nextest`): `cargo test` runs the tests instead",
        );
        let mut cargo = environment.cargo()?;
        cargo
            .args(["test", "--release", "--workspace", "--all-targets", "--no-fail-fast", "--locked"])
            .args(filter);
        return run_libtest(&mut cargo, "tests", counts, failed);
    }
    let mut cargo = environment.cargo()?;
    cargo.args(["nextest", "run", "--release", "--workspace", "--no-fail-fast", "--locked"]);
    if environment.full {
        cargo.args(["--profile", "full"]);
    }
    cargo.args(["--color", if std::io::stderr().is_terminal() { "always" } else { "never" }]);
    cargo.args(filter).stderr(Stdio::piped());
    let mut nextest = Guarded::start(&mut cargo)?;
    let stderr = nextest.child.stderr.take().context("nextest has no output")?;
    let mut found = None;
    for line in BufReader::new(stderr).split(b'\n') {
        let line = line.context("cannot read what nextest says")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        let plain = console::strip_ansi_codes(&line);
        match found {
            None => found = nextest_summary(&plain),
            // The names of the ignored tests come once more after the summary.
            Some(_) => ignored.extend(plain.trim().strip_prefix("SKIP [").and_then(skipped_name)),
        }
    }
    let status = nextest.wait()?;
    process::check_interrupt()?;
    match found {
        Some(found) => counts.add(found),
        None => failed.push("tests (they did not run: see above)".to_owned()),
    }
    // 4: the filter matches none.
    if !status.success() && found.is_some_and(|f| f.failed == 0) {
        failed.push(if status.code() == Some(4) { "tests (none was run)" } else { "tests" }.to_owned());
    }
    Ok(())
}

/// Runs the documentation's examples, of the packages with a library for others.
fn run_doctests(environment: &Environment<'_>, counts: &mut Counts, failed: &mut Vec<String>) -> Result<()> {
    let mut cargo = environment.cargo()?;
    cargo.args(["test", "--release", "--workspace", "--doc", "--no-fail-fast", "--locked"]);
    run_libtest(&mut cargo, "examples of the documentation", counts, failed)
}

/// Runs `cargo test` and adds up what its programs say.
fn run_libtest(cargo: &mut Command, name: &str, counts: &mut Counts, failed: &mut Vec<String>) -> Result<()> {
    let mut cargo = Guarded::start(cargo.stdout(Stdio::piped()))?;
    let stdout = cargo.child.stdout.take().context("cargo test has no output")?;
    let before = counts.failed;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read what cargo test says")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(found) = libtest_summary(&line) {
            counts.add(found);
        }
    }
    let status = cargo.wait()?;
    process::check_interrupt()?;
    if !status.success() && counts.failed == before {
        failed.push(format!("{name} (see above)"));
    }
    Ok(())
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Adds up the parts of a text like `3 passed (1 slow), 1 timed out, 2 skipped`.
    fn of_parts<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut counts = Self::default();
        for part in parts {
            let part = part.split('(').next().unwrap_or(part).trim();
            let Some((number, kind)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match kind.trim() {
                "passed" => counts.passed += number,
                "skipped" | "ignored" => counts.skipped += number,
                "failed" | "timed out" | "exec failed" => counts.failed += number,
                _ => {}
            }
        }
        counts
    }
}

/// The counts in nextest's line `Summary [ 1.2s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped`.
pub(crate) fn nextest_summary(line: &str) -> Option<Counts> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_, parts) = rest.split_once(" run: ")?;
    // Parts in parentheses hold commas of their own.
    let mut depth = 0;
    let outer = parts.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    Some(Counts::of_parts(outer))
}

/// The counts in libtest's line `test result: ok. 4 passed; 0 failed; 2 ignored; …`.
pub(crate) fn libtest_summary(line: &str) -> Option<Counts> {
    let (_, parts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    Some(Counts::of_parts(parts.split(';')))
}

/// The test's name in the rest of nextest's line `SKIP [ ] (1/2) package::binary module::test`.
pub(crate) fn skipped_name(rest: &str) -> Option<String> {
    let (_, rest) = rest.split_once(']')?;
    let rest = rest.trim_start();
    let rest = if rest.starts_with('(') { rest.split_once(')')?.1 } else { rest };
    Some(rest.trim().to_owned())
}

/// The Chromium that `GLISTEN_CHROMIUM` names, else one on the `PATH`.
pub(crate) fn installed_browser() -> Option<PathBuf> {
    let chosen = std::env::var_os("GLISTEN_CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    let find =
        || process::find_program(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]);
    chosen.or_else(find)
}

/// The browser for the tests that need one.
///
/// # Errors
/// If there is none and none can be installed; the message says why.
fn browser() -> Result<PathBuf> {
    if let Some(found) = installed_browser() {
        return Ok(found);
    }
    // SAFETY: `geteuid` has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root || process::find_program(&["apt-get"]).is_none() {
        bail!("install chromium (Debian: `apt-get install chromium`) for the tests that look at reports");
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        command
    };
    say::step("Debian's chromium, for the tests that look at reports");
    process::run_behind_spinner("apt-get update", &mut [apt(&["update", "--quiet"])])?;
    let install = apt(&["install", "--quiet", "--yes", "--no-install-recommends", "chromium"]);
    process::run_behind_spinner("apt-get install chromium", &mut [install])?;
    installed_browser().context("apt-get installed chromium, but no such program is there")
}
