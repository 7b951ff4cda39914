//! The inputs of this session, for front ends that ask for them.

use serde_json::{Value, json};

/// Inputs in their order, numbered as the user saw them.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    line: usize,
    input: String,
    output: Option<String>,
}

impl History {
    /// Adds an input.
    pub(crate) fn push(&mut self, line: usize, input: &str) {
        self.entries.push(Entry { line, input: input.to_owned(), output: None });
    }

    /// Notes the result of the last input.
    pub(crate) fn set_output(&mut self, text: &str) {
        if let Some(entry) = self.entries.last_mut() {
            entry.output = Some(text.to_owned());
        }
    }

    /// Answers a `history_request`; fields that are missing have their usual meaning.
    pub(crate) fn answer(&self, request: &Value) -> Value {
        let number = |name: &str| request[name].as_i64();
        let last = |n: Option<i64>| n.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
        let mut found: Vec<&Entry> = match request["hist_access_type"].as_str().unwrap_or("tail") {
            "range" => {
                let start = number("start").unwrap_or(0);
                let stop = number("stop").unwrap_or(i64::MAX);
                // There is one session only: 0 for the running one, or its own number.
                let ours = matches!(number("session"), None | Some(0 | 1));
                let inside = |entry: &&Entry| ours && (start..stop).contains(&(entry.line as i64));
                self.entries.iter().filter(inside).collect()
            }
            "search" => {
                let pattern: Vec<char> = request["pattern"].as_str().unwrap_or("*").chars().collect();
                let matching = |e: &&Entry| glob(&pattern, &e.input.chars().collect::<Vec<_>>());
                let mut found: Vec<&Entry> = self.entries.iter().filter(matching).collect();
                if request["unique"] == true {
                    let mut seen = std::collections::HashSet::new();
                    found.reverse();
                    found.retain(|entry| seen.insert(&entry.input));
                    found.reverse();
                }
                found
            }
            _ => self.entries.iter().collect(),
        };
        if request["hist_access_type"] != "range" {
            found.drain(..found.len().saturating_sub(last(number("n"))));
        }
        let with_output = request["output"] == true;
        let rows = found.into_iter().map(|Entry { line, input, output }| match with_output {
            true => json!([1, line, [input, output]]),
            false => json!([1, line, input]),
        });
        json!({"status": "ok", "history": rows.collect::<Vec<_>>()})
    }
}

/// Whether `text` fits `pattern`, where `*` stands for anything and `?` for one character.
fn glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(request: &Value) -> Vec<i64> {
        let mut history = History::default();
        for (line, input) in
            ["let a = 1;", "println!(\"a\")", "let b = 2;", "println!(\"a\")"].iter().enumerate()
        {
            history.push(line + 1, input);
        }
        let answer = history.answer(request);
        answer["history"].as_array().unwrap().iter().map(|row| row[1].as_i64().unwrap()).collect()
    }

    #[test]
    fn tail_range_and_search() {
        assert_eq!(lines(&json!({"hist_access_type": "tail", "n": 2})), [3, 4]);
        assert_eq!(lines(&json!({"hist_access_type": "range", "session": 0, "start": 2, "stop": 4})), [2, 3]);
        assert_eq!(lines(&json!({"hist_access_type": "search", "pattern": "print*"})), [2, 4]);
        assert_eq!(lines(&json!({"hist_access_type": "search", "pattern": "*a*", "unique": true})), [1, 4]);
        assert_eq!(lines(&json!({"hist_access_type": "search", "pattern": "let ? = *", "n": 1})), [3]);
    }
}
