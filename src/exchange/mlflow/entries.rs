//! A run's tags and parameters as MLflow takes them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{TEXTS_TAG, Target, names};
use crate::exchange::import::typed;
use crate::track::{Parameter, RunRecord};

/// The longest values and names that every version of MLflow from 2.8 on takes, in characters.
const LONGEST_PARAMETER: usize = 6000;
const LONGEST_TAG: usize = 5000;
pub(super) const LONGEST_NAME: usize = 250;

/// Keys and values.
type Pairs = Vec<(String, String)>;

/// Tags and parameters as MLflow takes them.
#[derive(Default)]
pub(super) struct Entries {
    tags: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    /// Keys of parameters whose texts read like numbers or truth values.
    texts: Vec<String>,
}

/// A parameter as Python would write it: `10.0` is not `10`.
fn text(value: &Parameter) -> String {
    match value {
        Parameter::Number(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

impl Entries {
    pub(super) fn of(target: &Target<'_>, record: &RunRecord, notes: &mut Vec<String>) -> Self {
        let mut entries = Self::default();
        entries.tags(target, record, notes);
        entries.parameters(target, record, notes);
        entries
    }

    /// Keeps the tag that goes with a name that was cut.
    pub(super) fn keep_name(&mut self, tag: Option<(String, String)>) {
        self.tags.extend(tag);
    }

    fn tags(&mut self, target: &Target<'_>, record: &RunRecord, notes: &mut Vec<String>) {
        let mut tags: Vec<(String, String)> = Vec::new();
        for (name, value) in &record.tags {
            let encoded = names::encode_tag(name, target.with_colon);
            self.keep_name(encoded.tag);
            tags.push((encoded.key, value.clone()));
        }
        for (name, value) in &record.environment {
            let encoded = target.encode(&format!("glisten.environment.{name}"));
            self.keep_name(encoded.tag);
            self.note_text(&encoded.key, value);
            tags.push((encoded.key, text(value)));
        }
        let environment = |name: &str| record.environment.get(name).map(text);
        let whole_name = (record.name.chars().count() > LONGEST_NAME).then(|| record.name.clone());
        for (key, value) in [
            ("glisten.error", record.error.clone()),
            ("glisten.run_name", whole_name),
            ("mlflow.note.content", record.note.clone()),
            ("mlflow.source.name", environment("command")),
            ("mlflow.source.git.commit", environment("git_commit")),
        ] {
            // A tag that the user gave has the last word.
            if let Some(value) = value.filter(|_| !record.tags.contains_key(key)) {
                tags.push((key.to_owned(), value));
            }
        }
        for (key, value) in tags {
            let value = cut(&record.name, "tag", &key, value, LONGEST_TAG, notes);
            self.tags.insert(key, value);
        }
    }

    fn parameters(&mut self, target: &Target<'_>, record: &RunRecord, notes: &mut Vec<String>) {
        for (name, value) in &record.parameters {
            let encoded = target.encode(name);
            self.keep_name(encoded.tag);
            self.note_text(&encoded.key, value);
            let value = cut(&record.name, "parameter", name, text(value), LONGEST_PARAMETER, notes);
            self.parameters.insert(encoded.key, value);
        }
        let mut texts = String::new();
        for key in &self.texts {
            // Of very many, those beyond become numbers when they are read back: the tag has no room for more.
            if texts.chars().count() + key.chars().count() < LONGEST_TAG {
                texts.push_str(key);
                texts.push('\n');
            }
        }
        if !texts.is_empty() {
            self.tags.insert(TEXTS_TAG.to_owned(), texts);
        }
    }

    /// Keeps in mind a text that would be read back as something else.
    fn note_text(&mut self, key: &str, value: &Parameter) {
        if matches!(value, Parameter::Text(text) if typed(text) != *value) {
            self.texts.push(key.to_owned());
        }
    }

    /// What the server's run does not have yet: tags, then parameters. MLflow lets no parameter change.
    pub(super) fn missing(self, run: &Value, name: &str, notes: &mut Vec<String>) -> (Pairs, Pairs) {
        let there = |kind: &str| -> BTreeMap<String, String> {
            let entries = run["data"][kind].as_array().into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            entries.map(|entry| (text(&entry["key"]), text(&entry["value"]))).collect()
        };
        let (tags, parameters) = (there("tags"), there("params"));
        let mut missing = Vec::new();
        for (key, value) in self.parameters {
            match parameters.get(&key) {
                None => missing.push((key, value)),
                Some(before) if *before != value => notes.push(format!(
                    "run '{name}': its parameter '{key}' stays {before:?} and does not become {value:?}: MLflow lets none change"
                )),
                Some(_) => {}
            }
        }
        let is_new = |(key, value): &(String, String)| tags.get(key) != Some(value);
        (self.tags.into_iter().filter(is_new).collect(), missing)
    }
}

/// `value`, cut where MLflow takes no more, which is then said.
fn cut(run: &str, kind: &str, name: &str, value: String, longest: usize, notes: &mut Vec<String>) -> String {
    let n_characters = value.chars().count();
    if n_characters <= longest {
        return value;
    }
    notes.push(format!(
        "run '{run}': {kind} '{name}' has {n_characters} characters; MLflow takes the first {longest}"
    ));
    value.chars().take(longest).collect()
}
