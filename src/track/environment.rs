//! What a run records of its surroundings by itself, so that it can be made again: the code's git commit, the command line,
//! versions and the machine. Secrets in the command line are not kept, and [`CONTEXT_VARIABLE`] leaves out whatever tells who and
//! where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{Parameter, git, process, secrets};
use crate::device;

/// `off` has runs record neither the command line, nor the folder, nor the machine's name; what was recorded of these before is
/// not shown, reported or exported then.
pub const CONTEXT_VARIABLE: &str = "GLISTEN_CONTEXT";

/// What tells who ran something and where; see [`CONTEXT_VARIABLE`].
const CONTEXT: [&str; 3] = ["command", "folder", "hostname"];

/// How long a repository's state is taken for granted: a commit is rarely made between two runs of a sweep.
const FRESH: Duration = Duration::from_secs(5);

/// Names and values.
pub(super) fn of_this_process() -> BTreeMap<String, Parameter> {
    static FIXED: OnceLock<Vec<(&'static str, Parameter)>> = OnceLock::new();
    let fixed = FIXED.get_or_init(|| {
        vec![
            ("command", command_line().into()),
            ("glisten_version", env!("CARGO_PKG_VERSION").into()),
            ("libtorch_version", device::libtorch_version().unwrap_or_else(|| "unknown".to_owned()).into()),
            ("hostname", process::name().into()),
            ("os", operating_system().into()),
            ("cores", std::thread::available_parallelism().map_or(1, usize::from).into()),
        ]
    });
    let mut values: BTreeMap<String, Parameter> =
        fixed.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    if let Ok(folder) = std::env::current_dir() {
        if let Some(git::State { commit, is_dirty }) = git_state(&folder) {
            values.insert("git_commit".to_owned(), commit.into());
            values.insert("git_dirty".to_owned(), is_dirty.map_or_else(|| "unknown".into(), Parameter::from));
        }
        values.insert("folder".to_owned(), folder.to_string_lossy().into_owned().into());
    }
    if !is_context_wanted() {
        leave_context_out(&mut values);
    }
    values.insert("threads".to_owned(), tch::get_num_threads().into());
    values
}

fn is_context_wanted() -> bool {
    !std::env::var(CONTEXT_VARIABLE).is_ok_and(|value| matches!(value.as_str(), "off" | "0" | "false" | "no"))
}

/// Removes the command line, the folder and the machine's name.
pub(crate) fn leave_context_out(values: &mut BTreeMap<String, Parameter>) {
    values.retain(|name, _| !CONTEXT.contains(&name.as_str()));
}

/// As the store keeps it: an object in which each value is as [`Parameter::to_json`] has it.
pub(super) fn to_json(values: &BTreeMap<String, Parameter>) -> String {
    let values: BTreeMap<&str, String> =
        values.iter().map(|(name, value)| (name.as_str(), value.to_json())).collect();
    serde_json::json!(values).to_string()
}

/// What [`to_json`] wrote; nothing for other text. Secrets in command lines that earlier releases kept are hidden.
pub(super) fn from_json(text: &str) -> BTreeMap<String, Parameter> {
    let values: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
    let read = |(name, value): (String, String)| {
        let value = match Parameter::from_json(&value) {
            Parameter::Text(line) if name == "command" => Parameter::Text(without_secrets(&line)),
            value => value,
        };
        (name, value)
    };
    let mut values = values.into_iter().map(read).collect();
    if !is_context_wanted() {
        leave_context_out(&mut values);
    }
    values
}

/// The program and its arguments as they would be typed, less the secrets among them.
fn command_line() -> String {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    as_typed(&secrets::hidden_in(&arguments, &secrets::of_environment()))
}

fn as_typed(arguments: &[String]) -> String {
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:=,@%+".contains(c))
    };
    let quoted = |text: &String| {
        if plain(text) { text.clone() } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A line of [`as_typed`] without its secrets.
fn without_secrets(line: &str) -> String {
    let arguments = arguments_of(line);
    let hidden = secrets::hidden_in(&arguments, &[]);
    if hidden == arguments { line.to_owned() } else { as_typed(&hidden) }
}

/// The arguments that [`as_typed`] wrote down.
fn arguments_of(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut argument: Option<String> = None;
    let (mut is_quoted, mut is_escaped) = (false, false);
    for character in line.chars() {
        match character {
            '\'' if !is_escaped => {
                is_quoted = !is_quoted;
                argument.get_or_insert_default();
            }
            '\\' if !is_quoted && !is_escaped => {
                is_escaped = true;
                continue;
            }
            ' ' if !is_quoted && !is_escaped => arguments.extend(argument.take()),
            character => argument.get_or_insert_default().push(character),
        }
        is_escaped = false;
    }
    arguments.extend(argument);
    arguments
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    [std::env::consts::OS, release.trim(), std::env::consts::ARCH].map(str::to_owned).join(" ")
}

/// The state of the work tree around `folder`, asked anew after a while.
fn git_state(folder: &Path) -> Option<git::State> {
    type Known = Option<(Instant, PathBuf, Option<git::State>)>;
    static KNOWN: Mutex<Known> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((asked, place, state)) = &*known
        && asked.elapsed() < FRESH
        && place == folder
    {
        return state.clone();
    }
    let state = git::state(folder);
    *known = Some((Instant::now(), folder.to_path_buf(), state.clone()));
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_from_the_line_and_secrets_do_not() {
        let arguments = ["glisten", "it's", "", "a b", "\\", "--x='y'", "日本"].map(str::to_owned);
        assert_eq!(arguments_of(&as_typed(&arguments)), arguments);
        let line = as_typed(&["a b", "--token", "s3cret", "it's"].map(str::to_owned));
        assert_eq!(without_secrets(&line), "'a b' --token '[redacted]' 'it'\\''s'");
        // As an earlier release kept it.
        let kept = to_json(&BTreeMap::from([("command".to_owned(), line.into())]));
        assert!(!from_json(&kept)["command"].to_string().contains("s3cret"));
        let untouched = "glisten  train   x --epochs 3";
        assert_eq!(without_secrets(untouched), untouched);
    }

    #[test]
    fn what_tells_who_and_where_is_left_out() {
        let mut values = of_this_process();
        assert!(CONTEXT.iter().all(|name| values.contains_key(*name)), "{values:?}");
        leave_context_out(&mut values);
        let host = process::name();
        let folder = std::env::current_dir().unwrap().display().to_string();
        for (name, value) in &values {
            let value = value.to_string();
            assert!(!value.contains(&folder) && (value != host || host.is_empty()), "{name}: {value}");
        }
        assert!(values.contains_key("glisten_version") && values.contains_key("threads"));
    }
}
