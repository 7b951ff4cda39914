//! Lines that begin with `:` — questions to the kernel rather than Rust.

use super::state::State;
use super::{Failure, Host, Session, lock};

const HELP: &str = "\
Cells are Rust; dataframes, tensors and Glisten's own names are there without `use`.
A cell shows the value of its last expression; `?` ends a cell with an error.
Variables and items stay for later cells; variables must own their values.

:help    this text
:vars    the variables, with their types
:doc X   the documentation of X (`Trainer`, `df.select`); `X?` and `?X` too
:items   the functions, types and imports of earlier cells
:clear   forget all variables and items
:timing  show (or no longer show) where the time of each cell goes
";

impl Session {
    /// Obeys a cell that begins with `:`.
    pub(super) fn command(&mut self, code: &str, host: &mut dyn Host) -> Result<(), Failure> {
        for line in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let word = line.split_whitespace().next().unwrap_or_default();
            let text = match word {
                ":help" => HELP.to_owned(),
                ":vars" => self.list_variables(),
                ":items" => self.list_items(),
                ":clear" => {
                    let names: Vec<String> = lock(&self.state).variables.keys().cloned().collect();
                    self.forget(&names);
                    *lock(&self.state) = State::default();
                    "all variables and items are gone\n".to_owned()
                }
                ":doc" => {
                    let name = line[word.len()..].trim();
                    if name.is_empty() {
                        let sentence = "`:doc` needs a name: `:doc Trainer`, `:doc df.select`";
                        return Err(Failure::new("CommandError", sentence.to_owned()));
                    }
                    self.document(name, host)?;
                    continue;
                }
                ":timing" => {
                    self.timing = !self.timing;
                    format!("timing is {}\n", if self.timing { "on" } else { "off" })
                }
                ":dep" => {
                    let sentence = "`:dep` is not supported yet: cells can use glisten, polars, tch and std";
                    return Err(Failure::new("CommandError", sentence.to_owned()));
                }
                _ => {
                    let sentence =
                        format!("there is no command `{word}`; `:help` lists those that there are");
                    return Err(Failure::new("CommandError", sentence));
                }
            };
            host.say(&text);
        }
        Ok(())
    }

    /// Shows what is known of `name` in the front end's pager.
    pub(super) fn document(&self, name: &str, host: &mut dyn Host) -> Result<(), Failure> {
        match crate::docs::page(&self.state, &self.docs, name) {
            Some(data) => {
                host.page(data);
                Ok(())
            }
            None => Err(Failure::new("CommandError", format!("nothing is known of `{name}`"))),
        }
    }

    fn list_variables(&self) -> String {
        let state = lock(&self.state);
        if state.variables.is_empty() {
            return "no variables\n".to_owned();
        }
        let width = state.variables.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        state.variables.iter().map(|(name, variable)| format!("{name:width$}  {}\n", variable.ty)).collect()
    }

    fn list_items(&self) -> String {
        let state = lock(&self.state);
        if state.items.is_empty() {
            return "no items\n".to_owned();
        }
        state.items.iter().map(|item| format!("{}\n", item.defines().describe())).collect()
    }
}

/// The name that a cell like `?Trainer` or `Trainer?` asks about. `x?` with a variable is Rust.
pub(super) fn question<'a>(code: &'a str, state: &State) -> Option<&'a str> {
    let code = code.trim();
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '.' | '!'))
    };
    if let Some(name) = code.strip_prefix('?') {
        return Some(name.trim()).filter(|name| is_name(name));
    }
    let name = code.strip_suffix('?').map(str::trim).filter(|name| is_name(name))?;
    let first = name.split(['.', ':']).next().unwrap_or(name);
    if state.variables.contains_key(first) { None } else { Some(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_not_rusts_question_mark() {
        let mut state = State::default();
        state.gain("result", "Result<i32, String>".to_owned());
        for (code, name) in [
            ("Trainer?", Some("Trainer")),
            (" ?df.select ", Some("df.select")),
            ("Dataset::open?", Some("Dataset::open")),
            ("result?", None),
            ("result.field?", None),
            ("f()?", None),
            ("let a = b?", None),
            ("?", None),
        ] {
            assert_eq!(question(code, &state), name, "{code}");
        }
    }
}
