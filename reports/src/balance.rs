//! The classes of the chosen subsets, beside their share of all of the data.

use crate::error::Result;
use crate::selections::{Cell, MOST_CELLS, cells_of};
use crate::summary::SettingSummary;
use crate::table::{Run, number_column, required, text_column};
use crate::wording::count;
use polars::prelude::DataFrame;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The name of the table of classes in errors, and its columns.
const TABLE: &str = "classes";
const COLUMNS: [&str; 4] = ["run", "epoch", "class", "count"];

/// The classes that some strategies chose with some fractions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Balances {
    /// In the report's order.
    pub(crate) cells: Vec<Balance>,
    /// How many more there would be.
    pub(crate) n_more: usize,
}

/// The classes of one strategy's subsets of one size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Balance {
    /// Whose, as "GLISTER 30 %".
    pub(crate) name: String,
    /// Of how many runs.
    pub(crate) n_runs: usize,
    /// In the order in which the table first names them.
    pub(crate) classes: Vec<ClassLine>,
}

/// One class over the epochs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassLine {
    pub(crate) name: String,
    /// (epoch, share of the subset ÷ share of all of the data), by epoch.
    pub(crate) points: Vec<(f64, f64)>,
    /// The same ratio over all selections.
    pub(crate) mean: f64,
}

impl Balance {
    /// Whose, as "GLISTER 30 %, 3 runs".
    pub(crate) fn about(&self) -> String {
        format!("{}, {}", self.name, count(self.n_runs, "run", "runs"))
    }
}

/// What was counted for a strategy and fraction.
#[derive(Default)]
struct Counted<'a> {
    chosen: BTreeMap<(u64, &'a str), f64>,
    at_epoch: BTreeMap<u64, f64>,
    runs: HashSet<&'a str>,
}

/// Reads the table of classes: those of each strategy and fraction of `setting`, by [`Cell::n_smaller`] where there are too
/// many.
///
/// `count` is how many samples of `class` the selection of `run` for `epoch` holds, `available` how many there are to choose
/// from; without that column, as many of each class.
pub(crate) fn balances(
    table: &DataFrame,
    runs: &[Run],
    setting: Option<&SettingSummary>,
) -> Result<Balances> {
    let Some(setting) = setting.filter(|_| table.height() > 0) else { return Ok(Balances::default()) };
    for name in COLUMNS {
        required(table, TABLE, name)?;
    }
    let (names, classes) = (text_column(table, TABLE, "run")?, text_column(table, TABLE, "class")?);
    let (epochs, counts) = (number_column(table, TABLE, "epoch")?, number_column(table, TABLE, "count")?);
    let available = number_column(table, TABLE, "available")?;
    let cells = cells_of(runs, &setting.setting);
    let cell_of: HashMap<&str, usize> = cells
        .iter()
        .enumerate()
        .flat_map(|(at, cell)| cell.runs.iter().map(move |run| (run.as_str(), at)))
        .collect();

    let mut order: Vec<&str> = Vec::new();
    let mut of_all: HashMap<&str, f64> = HashMap::new();
    let mut counted: Vec<Counted<'_>> = cells.iter().map(|_| Counted::default()).collect();
    for row in 0..table.height() {
        let (Some(run), Some(class)) = (names[row].as_deref(), classes[row].as_deref()) else { continue };
        let Some(cell) = cell_of.get(run) else { continue };
        let finite = |column: &[Option<f64>]| {
            column.get(row).copied().flatten().filter(|value| value.is_finite() && *value >= 0.0)
        };
        let (Some(epoch), Some(n)) = (finite(&epochs), finite(&counts)) else { continue };
        let n_available = finite(&available).filter(|n| *n > 0.0).unwrap_or(1.0);
        if of_all.insert(class, n_available).is_none() {
            order.push(class);
        }
        let own = &mut counted[*cell];
        *own.chosen.entry((epoch as u64, class)).or_default() += n;
        *own.at_epoch.entry(epoch as u64).or_default() += n;
        own.runs.insert(run);
    }
    let n_all: f64 = of_all.values().sum();
    let balance = |(cell, counted): (&Cell, &Counted<'_>)| {
        let n_chosen: f64 = counted.at_epoch.values().sum();
        if n_all <= 0.0 || n_chosen <= 0.0 {
            return None;
        }
        let line = |class: &&str| {
            let share = of_all.get(class).copied().unwrap_or(1.0) / n_all;
            let ratio = |n: f64, of: f64| n / of / share;
            let of_class = |epoch: u64| counted.chosen.get(&(epoch, *class)).copied().unwrap_or(0.0);
            let points = counted.at_epoch.iter().filter(|epoch| *epoch.1 > 0.0);
            ClassLine {
                name: (*class).to_owned(),
                points: points.map(|(epoch, n)| (*epoch as f64, ratio(of_class(*epoch), *n))).collect(),
                mean: ratio(counted.at_epoch.keys().map(|epoch| of_class(*epoch)).sum(), n_chosen),
            }
        };
        let classes = order.iter().map(line).collect();
        Some((cell.n_smaller, Balance { name: cell.name.clone(), n_runs: counted.runs.len(), classes }))
    };
    let found: Vec<(usize, Balance)> = cells.iter().zip(&counted).filter_map(balance).collect();
    let mut smallest_first: Vec<usize> = (0..found.len()).collect();
    smallest_first.sort_by_key(|at| found[*at].0);
    let n_more = found.len().saturating_sub(MOST_CELLS);
    let shown: HashSet<usize> = smallest_first.into_iter().take(MOST_CELLS).collect();
    let cells = found.into_iter().enumerate().filter(|(at, _)| shown.contains(at));
    Ok(Balances { cells: cells.map(|(_, (_, balance))| balance).collect(), n_more })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarize_runs;
    use polars::prelude::*;

    fn run(name: &str, strategy: &str, fraction: f64) -> Run {
        Run {
            name: name.to_owned(),
            strategy: Some(strategy.to_owned()),
            fraction: Some(fraction),
            status: "completed".to_owned(),
            ..Run::default()
        }
    }

    fn balances(table: &DataFrame, runs: &[Run]) -> Result<Balances> {
        super::balances(table, runs, summarize_runs(runs).settings.first())
    }

    #[test]
    fn a_class_is_set_beside_its_share_of_all_of_the_data() {
        let runs = [run("a", "glister", 0.3), run("b", "glister", 0.3), run("c", "fresh-random", 0.1)];
        let table = df!(
            "run" => ["a", "a", "b", "b", "c", "a", "a", "unknown"],
            "epoch" => [1_i64, 1, 1, 1, 1, 4, 4, 1],
            "class" => ["cat", "dog", "cat", "dog", "cat", "cat", "dog", "cow"],
            "count" => [30_i64, 10, 50, 30, 7, 10, 30, 9],
            "available" => [100_i64, 300, 100, 300, 100, 100, 300, 9],
        )
        .unwrap();
        let found = balances(&table, &runs).unwrap();
        let names: Vec<String> = found.cells.iter().map(Balance::about).collect();
        assert_eq!(
            (names, found.n_more),
            (vec!["GLISTER 30 %, 2 runs".to_owned(), "Fresh random 10 %, 1 run".to_owned()], 0)
        );
        // Epoch 1: 80 of 120 are cats, beside 100 of 400: 0.6667 ÷ 0.25; epoch 4: 10 of 40 ÷ 0.25.
        let cat = &found.cells[0].classes[0];
        assert_eq!(cat.name, "cat");
        assert!((cat.points[0].1 - 8.0 / 3.0).abs() < 1e-12 && (cat.points[1].1 - 1.0).abs() < 1e-12);
        assert!((cat.mean - 90.0 / 160.0 / 0.25).abs() < 1e-12);
        assert_eq!(found.cells[0].classes.len(), 2, "a run that the table of runs does not know is left out");
        // Fresh random chose cats only, a quarter of all: 4 times their share, and dogs not at all.
        let random: Vec<(&str, f64)> =
            found.cells[1].classes.iter().map(|class| (class.name.as_str(), class.mean)).collect();
        assert_eq!(random, [("cat", 4.0), ("dog", 0.0)]);
        assert_eq!(balances(&table.head(Some(0)), &runs).unwrap(), Balances::default());
        let error = balances(&table.drop("count").unwrap(), &runs).unwrap_err();
        assert!(error.to_string().contains("no column `count`"), "{error}");
    }

    #[test]
    fn of_too_many_strategies_and_fractions_the_smallest_fractions_are_kept() {
        let cells: Vec<(&str, f64)> = ["glister", "fresh-random", "fixed-random", "x"]
            .into_iter()
            .flat_map(|strategy| [0.1, 0.2, 0.3, 0.4].map(|fraction| (strategy, fraction)))
            .collect();
        let name = |cell: &(&str, f64)| format!("{} {}", cell.0, cell.1);
        let runs: Vec<Run> = cells.iter().map(|cell| run(&name(cell), cell.0, cell.1)).collect();
        let table = df!(
            "run" => cells.iter().map(name).collect::<Vec<_>>(),
            "epoch" => vec![1_i64; 16],
            "class" => vec!["cat"; 16],
            "count" => vec![5_i64; 16],
        )
        .unwrap();
        let found = balances(&table, &runs).unwrap();
        let names: Vec<&str> = found.cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(found.n_more, 4);
        assert_eq!(names[..4], ["GLISTER 30 %", "GLISTER 20 %", "GLISTER 10 %", "Fresh random 30 %"]);
        assert!(names.len() == 12 && !names.iter().any(|name| name.ends_with("40 %")), "{names:?}");
    }
}
