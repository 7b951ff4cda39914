//! What a report says beside its data, and which parts of it.

use crate::error::{Error, Result};
use crate::summary::Published;
use serde::Serialize;
use std::path::PathBuf;
use std::str::FromStr;

/// What a report says beside its data. All of it is plain text, but the notes, which are Markdown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The heading; "How much of the data is needed?" where none is given.
    pub title: Option<String>,
    /// Who made the report.
    pub author: Option<String>,
    /// When it was written, in words. None by default, so that the same input gives the same bytes.
    pub written_at: Option<String>,
    /// How it was made, one line each: command lines, versions, the machine.
    pub how_made: Vec<String>,
    /// Figures in print, which GLISTER's are set beside.
    pub published: Vec<Published>,
    /// The runs to report on, by name; `*` stands for any letters. All, where none is named. Of several experiments a run is
    /// called `experiment / run`, and its own name will do: then it is that run of each.
    pub runs: Vec<String>,
    /// The run that the others are set beside in the table of runs: points of accuracy more or less, times as fast.
    pub baseline: Option<String>,
    /// Light, dark, or as the reader prefers.
    pub theme: Theme,
    /// The parts to leave out.
    pub without: Vec<Section>,
    /// Notes of one's own in Markdown, shown below the answer. Markup in them is shown as text, images as their
    /// descriptions; links lead to `https:`, `http:` and `mailto:` only.
    pub notes: Option<String>,
    /// A folder whose files take the place of the report's own templates of the same names: see [`crate::context`].
    pub templates: Option<PathBuf>,
    /// The folder beside the report in which its numbers lie as files; the report names it. The path is as seen from the
    /// report; of one that leads out of its folder, the last part is shown. What renders a report does not write it: that
    /// does whoever knows where the numbers are from, as `glisten report --data`.
    pub data: Option<PathBuf>,
}

impl Options {
    /// Whether the run of this name is one to report on.
    pub fn is_wanted(&self, run: &str) -> bool {
        self.runs.is_empty() || self.runs.iter().any(|pattern| is_called(pattern, run))
    }

    /// Whether `section` is to be shown.
    pub(crate) fn shows(&self, section: Section) -> bool {
        !self.without.contains(&section)
    }
}

/// The colours of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// Light or dark, as the reader's system prefers.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark. Printed, it is dark on light all the same.
    Dark,
}

impl Theme {
    const ALL: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("light", Self::Light), ("dark", Self::Dark)];

    /// The name, as [`Theme::from_str`] reads it.
    pub fn name(self) -> &'static str {
        name_in(&Self::ALL, self)
    }
}

impl FromStr for Theme {
    type Err = Error;

    /// # Errors
    /// [`Error::Option`] for a name that is none of `auto`, `light` and `dark`.
    fn from_str(name: &str) -> Result<Self> {
        named("theme", &Self::ALL, name)
    }
}

/// A part of a report that can be left out. The answer itself cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Notes of one's own.
    Notes,
    /// The table of strategies and fractions.
    Strategies,
    /// The charts.
    Charts,
    /// What chooses beside fresh random.
    Comparison,
    /// GLISTER beside figures in print.
    Published,
    /// What was chosen: classes over the epochs, the most and least chosen images.
    Selections,
    /// The parameters in which the runs differ.
    Parameters,
    /// The table of all runs.
    Runs,
    /// How each run was made: its command, its code, the machine.
    Reproduce,
    /// What each figure means.
    Method,
}

impl Section {
    /// All sections by their names, in the report's order.
    pub const ALL: [(&'static str, Self); 10] = [
        ("notes", Self::Notes),
        ("strategies", Self::Strategies),
        ("charts", Self::Charts),
        ("comparison", Self::Comparison),
        ("published", Self::Published),
        ("selections", Self::Selections),
        ("parameters", Self::Parameters),
        ("runs", Self::Runs),
        ("reproduce", Self::Reproduce),
        ("method", Self::Method),
    ];

    /// The name, as [`Section::from_str`] reads it.
    pub fn name(self) -> &'static str {
        name_in(&Self::ALL, self)
    }
}

impl FromStr for Section {
    type Err = Error;

    /// # Errors
    /// [`Error::Option`] for a name that is not in [`Section::ALL`].
    fn from_str(name: &str) -> Result<Self> {
        named("section", &Self::ALL, name)
    }
}

fn name_in<T: PartialEq + Copy>(all: &[(&'static str, T)], value: T) -> &'static str {
    all.iter().find(|one| one.1 == value).map_or("", |one| one.0)
}

fn named<T: Copy>(what: &'static str, all: &[(&'static str, T)], name: &str) -> Result<T> {
    let wanted = name.trim().to_lowercase();
    all.iter().find(|one| one.0 == wanted).map(|one| one.1).ok_or_else(|| Error::Option {
        what,
        found: crate::wording::shorten(name, 80),
        expected: all.iter().map(|one| one.0).collect::<Vec<_>>().join(", "),
    })
}

/// Whether `pattern` says the name of a run, or its own name behind that of its experiment.
pub(crate) fn is_called(pattern: &str, run: &str) -> bool {
    // Either name may hold the mark itself.
    let own = run.match_indices(" / ").map(|(at, mark)| &run[at + mark.len()..]);
    matches(pattern, run) || own.into_iter().any(|own| matches(pattern, own))
}

/// Whether `name` is what `pattern` says, in which `*` stands for any letters, also none.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_several_experiments_is_called_by_its_own_name_too() {
        for (pattern, name, expected) in [
            ("glister*", "first / glister 30 % seed 0", true),
            ("first / glister*", "first / glister 30 % seed 0", true),
            ("first / *", "second / full seed 0", false),
            ("full seed 0", "second / full seed 0", true),
            ("seed 0", "second / full seed 0", false),
            ("full*", "a / b / full seed 0", true),
            ("first", "first / full seed 0", false),
        ] {
            assert_eq!(is_called(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("full seed 1", "full seed 1", true),
            ("full seed 1", "full seed 12", false),
            ("full*", "full seed 12", true),
            ("*seed 1", "full seed 1", true),
            ("*seed 1", "full seed 12", false),
            ("g*30*1", "glister 30 % seed 1", true),
            ("g*1*30*", "glister 30 % seed 1", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("ä*", "äß", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_read_and_wrong_ones_told() {
        for (name, section) in Section::ALL {
            assert_eq!((name.parse::<Section>().unwrap(), section.name()), (section, name));
        }
        assert_eq!(" Dark".parse::<Theme>().unwrap().name(), "dark");
        let error = "charst".parse::<Section>().unwrap_err().to_string();
        assert!(error.contains("`charst`") && error.contains("charts, comparison"), "{error}");
    }
}
