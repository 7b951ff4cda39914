//! Export to an MLflow server through its REST API, so that doing it again, or after being killed in the midst, leaves one
//! MLflow run for each of ours, with each value once.
//!
//! | Glisten | MLflow |
//! |---|---|
//! | experiment | the experiment of that name, made where there is none |
//! | run | a run of that name, found again by its tag `glisten.run` |
//! | metric | metric: value, step, time; a run's start where a value has no time of its own |
//! | parameter | parameter, as text |
//! | tag | tag; of one that begins with `glisten.` the point is written as a code |
//! | note, command, git commit | `mlflow.note.content`, `mlflow.source.name`, `mlflow.source.git.commit` |
//! | environment | tags `glisten.environment.NAME` |
//! | created, running, completed, failed, stopped | `SCHEDULED`, `RUNNING`, `FINISHED`, `FAILED` (and `glisten.error`), `KILLED` |
//! | artifacts; selections | artifacts; `selections.parquet`, if the server takes artifacts |
//!
//! Names that MLflow does not allow are written so that they can be read back: see `names`. NaN arrives as NaN; MLflow's
//! databases keep ±1.797e308, the largest numbers there are, in place of ±∞.

mod artifacts;
mod batch;
mod client;
mod entries;
pub(super) mod names;
mod points;
mod run;

use std::collections::HashMap;

use serde_json::{Value, json};

pub use client::MlflowServer;
use client::{Client, Failure};

use super::{Export, counted};
use crate::error::{Error, Result};
use crate::interrupt;

/// The tag by which a run is found again.
const RUN_TAG: &str = "glisten.run";
/// The tag that says what was exported when it was last complete.
const DONE_TAG: &str = "glisten.exported";
/// The tag that says which parameters are texts though they read like something else, a key a line.
pub(super) const TEXTS_TAG: &str = "glisten.texts";
/// How many runs are asked for at a time.
const PAGE: u32 = 50;

/// What an export to MLflow came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MlflowExported {
    /// The experiment's page.
    pub url: String,
    /// Runs that are now there.
    pub n_runs: usize,
    /// Those of them that were made.
    pub n_new: usize,
    /// Those that were there before just as they are.
    pub n_unchanged: usize,
    /// Values of metrics that were sent.
    pub n_values: usize,
    /// Artifacts that were sent.
    pub n_artifacts: usize,
    /// What could not be exported as it is, and why.
    pub notes: Vec<String>,
}

impl std::fmt::Display for MlflowExported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, n_runs, n_new, n_unchanged, n_values, n_artifacts, notes } = self;
        write!(
            f,
            "{url}: {} ({n_new} new, {n_unchanged} unchanged), sent {} and {}",
            counted(*n_runs, "run"),
            counted(*n_values, "value"),
            counted(*n_artifacts, "artifact"),
        )?;
        notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

impl Export<'_> {
    /// Exports to an MLflow server. Called again, it sends only what is missing there.
    ///
    /// # Errors
    /// [`Error::Server`] if the server refuses something, or is not to be reached after several tries; what has arrived by
    /// then stays. [`Error::NotFound`] for a run that is not there.
    pub fn mlflow(&self, server: &MlflowServer) -> Result<MlflowExported> {
        let _call = interrupt::enter();
        let records = self.records()?;
        let client = Client::new(server)?;
        let target = Target::open(&client, self.experiment().name())?;
        let mut there = target.runs()?;
        let mut exported = MlflowExported {
            url: format!("{}/#/experiments/{}", client.shown(), target.experiment_id),
            ..Default::default()
        };
        for record in &records {
            interrupt::check()?;
            let id = run::stable_id(record);
            let source = run::Source::read(self, record)?;
            run::export(&target, &source, there.remove(&id), &id, &mut exported)?;
            exported.n_runs += 1;
        }
        Ok(exported)
    }
}

/// The experiment of a server to export to.
struct Target<'a> {
    client: &'a Client,
    experiment_id: String,
    /// Whether the server allows `:` in names.
    with_colon: bool,
}

impl<'a> Target<'a> {
    /// The experiment of that name, made where there is none.
    fn open(client: &'a Client, name: &str) -> Result<Self> {
        // A server that does not say its version (a service that speaks MLflow's API) is taken for a recent one.
        let version = client.with_retries("asking for its version", || match client.text("version") {
            Err(Failure::Refused { status, .. }) if status != 401 && status != 403 => Ok(String::new()),
            answer => answer,
        })?;
        let doing = format!("making the experiment '{name}'");
        let experiment_id = client.with_retries(&doing, || {
            if let Some(id) = Self::find(client, name)? {
                return Ok(id);
            }
            // If the answer to this is lost, the next try finds what it made.
            match client.post("experiments/create", &json!({ "name": name })) {
                Ok(answer) => text_of(&answer, "experiment_id"),
                Err(Failure::Refused { code, .. }) if code == "RESOURCE_ALREADY_EXISTS" => {
                    Err(Failure::Passing { what: "another export has just made it".to_owned(), wait: None })
                }
                Err(failure) => Err(failure),
            }
        })?;
        Ok(Self { client, experiment_id, with_colon: allows_colon(&version) })
    }

    /// The key of the experiment of that name, if there is one.
    fn find(client: &Client, name: &str) -> Result<Option<String>> {
        let doing = format!("looking for the experiment '{name}'");
        client.with_retries(&doing, || {
            let query = [("experiment_name", name)];
            let answer = match client.get("experiments/get-by-name", &query) {
                Err(Failure::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => return Ok(None),
                answer => answer?,
            };
            if answer["experiment"]["lifecycle_stage"] == "deleted" {
                let what = "there is one of that name in MLflow's trash; `mlflow experiments restore` or `mlflow gc` \
                            clears the way";
                let (url, doing, what) = (client.shown(), doing.clone(), what.to_owned());
                return Err(Failure::Other(Error::Server { url, doing, what }));
            }
            text_of(&answer["experiment"], "experiment_id").map(Some)
        })
    }

    /// Runs of earlier exports by their tag.
    fn runs(&self) -> Result<HashMap<String, Value>> {
        self.search(&format!("tags.`{RUN_TAG}` LIKE '%'"))
    }

    fn search(&self, filter: &str) -> Result<HashMap<String, Value>> {
        let mut found = HashMap::new();
        let ask = |token: &str| {
            let mut body = json!({
                "experiment_ids": [self.experiment_id],
                "filter": filter,
                "max_results": PAGE,
                // Of two with one tag, as two exports at the same time may make them, the older one.
                "order_by": ["attributes.start_time DESC", "attributes.run_id DESC"],
            });
            if !token.is_empty() {
                body["page_token"] = token.into();
            }
            self.client.post("runs/search", &body)
        };
        self.client.pages("looking for runs of earlier exports", ask, |page| {
            for run in listed(page, "runs")? {
                if let Some(id) = tag(run, RUN_TAG) {
                    let is_run = run["info"]["run_id"].is_string();
                    if !is_run {
                        return Err("expected a run with a 'run_id', got one without".to_owned());
                    }
                    found.insert(id.to_owned(), run.clone());
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn encode(&self, name: &str) -> names::Encoded {
        names::encode(name, self.with_colon)
    }
}

/// Whether a server of that version takes `:` in the names of metrics, parameters and tags.
fn allows_colon(version: &str) -> bool {
    let mut numbers = version.trim().split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (2, 17),
        _ => true,
    }
}

/// The value of a run's tag.
fn tag<'a>(run: &'a Value, key: &str) -> Option<&'a str> {
    let tags = run["data"]["tags"].as_array()?;
    tags.iter().find(|tag| tag["key"] == key)?["value"].as_str()
}

/// The list of that name in an answer, which leaves out an empty one.
fn listed<'a>(answer: &'a Value, field: &str) -> Result<&'a [Value], String> {
    match &answer[field] {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        other => {
            let found: String = other.to_string().chars().take(60).collect();
            Err(format!("expected a list as '{field}', got {found}"))
        }
    }
}

/// A text that an answer of MLflow has to hold.
fn text_of(answer: &Value, field: &str) -> Result<String, Failure> {
    answer[field].as_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("an answer without '{field}'");
        Failure::Refused { status: 200, code: String::new(), message }
    })
}

#[cfg(test)]
mod tests {
    use super::allows_colon;

    #[test]
    fn old_servers_take_no_colon() {
        for (version, allowed) in [
            ("2.15.1", false),
            ("2.17.0", true),
            ("3.17.2", true),
            ("1.30.0rc1", false),
            ("", true),
            ("<html>", true),
        ] {
            assert_eq!(allows_colon(version), allowed, "{version}");
        }
    }
}
