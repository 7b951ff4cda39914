//! `:dep`: the user's own dependencies, added to a running session.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Failure, Host, Session, lock};
use crate::deps::{self, Built, Error, List, Progress};

/// A build that is over sooner is not worth a progress bar.
const UNSEEN: Duration = Duration::from_millis(700);
/// More updates than four a second only cost.
const INTERVAL: Duration = Duration::from_millis(250);

impl Session {
    /// Obeys `:dep` lines, given without that word. With nothing behind it `:dep` lists what there is.
    ///
    /// # Errors
    /// [`Failure`] where one of them cannot be had; then the session is as it was before.
    pub(super) fn depend(&mut self, lines: &[&str], host: &mut dyn Host) -> Result<(), Failure> {
        let fail = |sentence: String| Failure::new("DependencyError", sentence);
        let folder = std::env::current_dir().unwrap_or_default();
        let mut list = self.deps.list.clone();
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let (name, value) = deps::parse(line, &folder).map_err(fail)?;
            list.retain(|other, _| other.replace('-', "_") != name.replace('-', "_"));
            list.insert(name, value);
        }
        if lines.iter().all(|line| line.is_empty()) {
            host.say(&self.list_dependencies());
            return Ok(());
        }
        if let Some(sentence) = &self.broken {
            return Err(Failure::new("BundleError", sentence.clone()));
        }
        self.interrupts.compiling(&self.compiler);
        let built = self.build(&list, host);
        self.interrupts.idle();
        self.take_over(Arc::new(built?), host)?;
        self.deps.list = list;
        Ok(())
    }

    fn build(&mut self, list: &List, host: &mut dyn Host) -> Result<Built, Failure> {
        self.deps.generation += 1;
        let request = deps::Request {
            list,
            compiler: &self.compiler,
            cache: &deps::cache_folder().unwrap_or_else(|| self.compiler.folder().join("deps")),
            into: self.compiler.folder().join(format!("deps-{}", self.deps.generation)),
            earlier: self.deps.built.as_deref(),
        };
        let names = list.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let started = Instant::now();
        let id = format!("glisten-deps-{}-{}", std::process::id(), self.deps.generation);
        let mut shown: Option<Instant> = None;
        let show = |data: Value, shown: &mut Option<Instant>| {
            self.publish.display(data, Value::Null, Some(id.clone()), shown.is_some());
            *shown = Some(Instant::now());
        };
        let built = deps::build(&request, &mut |progress| {
            let is_due = shown.map_or(started.elapsed() >= UNSEEN, |at| at.elapsed() >= INTERVAL);
            if is_due {
                show(bar(&names, progress, started.elapsed()), &mut shown);
            }
        });
        let secs = started.elapsed().as_secs_f64();
        let outcome = match &built {
            Ok(built) => format!("{} ready after {secs:.1} s", versions(built)),
            Err(Error::Stopped) => format!("{names}: stopped after {secs:.1} s"),
            Err(_) => format!("{names}: not built"),
        };
        match shown {
            Some(_) => show(json!({"text/plain": outcome, "text/html": escape(&outcome)}), &mut shown),
            None if built.is_ok() => host.say(&format!("{outcome}\n")),
            None => {}
        }
        built.map_err(|error| match error {
            Error::Stopped => Failure::interrupted("while cargo was at work; nothing has changed"),
            Error::Cargo(said) => {
                let plain = deps::without_colour(&said);
                let first = plain.lines().find(|line| line.starts_with("error")).or(plain.lines().next());
                let first = first.map(|line| line.split_once(": ").map_or(line, |(_, rest)| rest));
                let evalue = first.unwrap_or("cargo failed").to_owned();
                Failure { ename: "DependencyError".to_owned(), evalue, traceback: vec![said] }
            }
            Error::Around(error) => Failure::new("DependencyError", format!("{error:#}")),
        })
    }

    /// From now on cells are compiled against `built`. What cannot be kept beside it goes, and is named.
    fn take_over(&mut self, built: Arc<Built>, host: &mut dyn Host) -> Result<(), Failure> {
        let mut rewritten: Vec<String> =
            self.deps.loaded.iter().flat_map(|loaded| built.rewritten_since(loaded)).collect();
        rewritten.dedup();
        if !rewritten.is_empty() {
            let verb = if rewritten.len() == 1 { "was" } else { "were" };
            let why = format!("was started afresh, since {} {verb} built anew", rewritten.join(", "));
            let lost = self.replace_worker(&why)?;
            host.remark(&format!("the process that runs the cells {why}. {lost}\n"));
        } else if let Some(earlier) = &self.deps.built {
            let replaced = built.replaced_since(earlier);
            let orphans = lock(&self.state).dependents(replaced.into_iter().collect());
            self.drop_orphans(&orphans, host);
        }
        if !built.doubles.is_empty() {
            let names = built.doubles.join(", ");
            host.remark(&format!(
                "these crates bring their own {names}, whose types are not those that cells and Glisten use\n"
            ));
        }
        self.compiler.set_deps(Arc::clone(&built));
        self.docs.extend(built.sources.clone());
        self.deps.built = Some(built);
        Ok(())
    }

    /// Ends the worker and starts another. Returns the sentence about variables.
    fn replace_worker(&mut self, why: &str) -> Result<String, Failure> {
        drop(self.worker.take());
        self.deps.loaded.clear();
        let lost = lock(&self.state).worker_lost(&format!("was lost when the process {why}"));
        self.worker()?;
        Ok(super::lost_sentence(&lost))
    }

    fn list_dependencies(&self) -> String {
        if self.deps.list.is_empty() {
            return "no dependencies of your own; glisten, polars, tch and std are there without `:dep`\n"
                .to_owned();
        }
        let versions = self.deps.built.iter().flat_map(|built| &built.versions);
        let versions: Vec<&(String, String)> = versions.collect();
        let mut text = String::new();
        for (name, value) in &self.deps.list {
            let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            let is_it =
                |(other, _): &&&(String, String)| other.replace('-', "_") == package.replace('-', "_");
            let version = versions.iter().find(is_it).map(|(_, version)| format!("  ({version})"));
            text.push_str(&format!("{name} = {value}{}\n", version.unwrap_or_default()));
        }
        text
    }

    /// Where the dependencies are, as far as a cell with these words can use them.
    pub(super) fn dependencies_for(&self, mentions: impl Fn(&str) -> bool) -> Option<Arc<Built>> {
        self.deps.built.as_ref().filter(|built| built.names().any(mentions)).map(Arc::clone)
    }

    /// The libraries that the worker must have loaded before a cell that uses `deps`.
    pub(super) fn libraries_of(&mut self, deps: Option<&Arc<Built>>) -> Vec<PathBuf> {
        let Some(deps) = deps else { return Vec::new() };
        if !self.deps.loaded.iter().any(|loaded| Arc::ptr_eq(loaded, deps)) {
            self.deps.loaded.push(Arc::clone(deps));
        }
        vec![deps.library.clone()]
    }
}

/// "rand 0.8.5, serde 1.0.229".
fn versions(built: &Built) -> String {
    let versions: Vec<String> =
        built.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    versions.join(", ")
}

/// "building rand: 12 of 30 · 14 s · Compiling rand_chacha v0.3.1", with a bar where there is HTML.
fn bar(names: &str, progress: &Progress, elapsed: Duration) -> Value {
    let count = progress.done.map(|(done, all)| format!("{done} of {all} · ")).unwrap_or_default();
    let text = format!("building {names}: {count}{} s · {}", elapsed.as_secs(), progress.doing);
    let value = match progress.done {
        Some((done, all)) => format!(r#" value="{done}" max="{}""#, all.max(1)),
        None => String::new(),
    };
    let html = format!(
        r#"<div class="glisten-deps" style="font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px)"><progress{value} style="width:9em;vertical-align:middle"></progress> {}</div>"#,
        escape(&text)
    );
    json!({"text/plain": text, "text/html": html})
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_one_line_and_a_bar_that_hold_no_foreign_html() {
        let progress = Progress { done: Some((3, 10)), doing: "Compiling <b>".to_owned() };
        let data = bar("rand", &progress, Duration::from_secs(4));
        assert_eq!(data["text/plain"], "building rand: 3 of 10 · 4 s · Compiling <b>");
        let html = data["text/html"].as_str().unwrap();
        assert!(
            html.contains(r#"<progress value="3" max="10""#) && html.contains("Compiling &lt;b&gt;"),
            "{html}"
        );
    }
}
