//! What was learnt of a table's training rows: how each column becomes features, and the target labels.

use std::collections::HashMap;
use std::path::Path;

use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::origin::Origin;
use super::target::{self, Target};
use super::values::{self, Values};
use super::{Missing, TableOptions, TargetKind, Unseen};
use crate::data::budget;
use crate::data::examples::Examples;
use crate::data::new_samples::{self, NewSamples};
use crate::error::{Error, Result};

/// How a table's columns become features, as learnt of its training rows. Puts new rows into the same form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSchema {
    columns: Vec<Plan>,
    feature_names: Vec<String>,
    unseen: Unseen,
    target: Target,
    /// How the file was written, if it is a CSV file. Older releases did not keep it.
    #[serde(default = "comma")]
    separator: char,
    #[serde(default)]
    null_values: Vec<String>,
}

fn comma() -> char {
    ','
}

/// One column's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plan {
    name: String,
    missing: Missing,
    encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Encoding {
    /// One feature, (number − mean) / deviation; with a second one, whether it is missing, for `Missing::Category`.
    Number { mean: f64, deviation: f64, fill: f64 },
    /// A feature for each category; with one more, whether it is missing, if that is not an error.
    Categories { names: Vec<String> },
}

impl Plan {
    fn is_text(&self) -> bool {
        matches!(self.encoding, Encoding::Categories { .. })
    }

    /// Whether the last feature says that the value is missing.
    fn tells_missing(&self) -> bool {
        match self.encoding {
            Encoding::Number { .. } => self.missing == Missing::Category,
            Encoding::Categories { .. } => !matches!(self.missing, Missing::Error | Missing::DropRows),
        }
    }

    fn feature_names(&self) -> Vec<String> {
        let mut names = match &self.encoding {
            Encoding::Number { .. } => vec![self.name.clone()],
            Encoding::Categories { names } => {
                names.iter().map(|category| format!("{}={category}", self.name)).collect()
            }
        };
        if self.tells_missing() {
            names.push(format!("{} missing", self.name));
        }
        names
    }
}

/// Columns read, and the rows of them that are taken.
struct Table<'a> {
    values: Vec<Values>,
    target: Option<Values>,
    rows: Vec<usize>,
    /// Where the rows stand in the table that the user knows, counted from 0; `None` where they are all of it.
    places: Option<&'a [usize]>,
}

impl TableSchema {
    /// Learns from all rows of `frame` (which stand at `places` of the user's table), and takes them.
    pub(super) fn fit(
        frame: &DataFrame,
        places: Option<&[usize]>,
        target: &str,
        options: &TableOptions,
        origin: &Origin<'_>,
    ) -> Result<(Self, Examples)> {
        let known: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
        let named = options.ignore.iter().chain(&options.categories).chain(options.missing_in.keys());
        for name in named.map(String::as_str).chain([target]) {
            if !known.contains(&name) {
                return Err(origin.no_column(name, &known));
            }
        }
        if options.ignore.iter().any(|name| name == target) {
            return Err(Error::argument("ignore", "columns other than the target", format!("'{target}'")));
        }
        let features: Vec<&Column> = frame
            .columns()
            .iter()
            .filter(|column| {
                column.name() != target && !options.ignore.iter().any(|name| name == column.name())
            })
            .collect();
        if features.is_empty() {
            return Err(origin.table("a column or more beside the target", "none"));
        }
        let row = |at: usize| places.map_or(at, |places| places[at]) + 1;
        let is_category = |column: &Column| options.categories.iter().any(|name| name == column.name());
        let values = features
            .iter()
            .map(|column| Values::of(column, is_category(column), &row, origin))
            .collect::<Result<Vec<_>>>()?;
        let target_column = frame.column(target)?;
        let kind = target::kind(target_column, options);
        let target_values = target::read(target_column, kind, &row, origin)?;
        let rules: Vec<Missing> = features.iter().map(|column| options.missing_in(column.name())).collect();
        let droppable = values.iter().zip(&rules).filter(|(_, rule)| **rule == Missing::DropRows);
        let mut droppable: Vec<&Values> = droppable.map(|(values, _)| values).collect();
        if options.missing_in(target) == Missing::DropRows {
            droppable.push(&target_values);
        }
        let rows = whole_rows(frame.height(), &droppable);
        if rows.is_empty() {
            let found = format!("{} rows, of which none is whole", frame.height());
            return Err(origin.table("a row or more to train on", found));
        }
        let columns = features
            .iter()
            .zip(&values)
            .zip(&rules)
            .map(|((column, values), rule)| plan(column.name(), values, *rule, &rows, &row, options, origin))
            .collect::<Result<Vec<_>>>()?;
        let target = Target::fit(target_column, kind, &target_values, &rows, &row, options, origin)?;
        let feature_names = columns.iter().flat_map(Plan::feature_names).collect();
        let schema = Self {
            columns,
            feature_names,
            unseen: options.unseen,
            target,
            separator: options.separator,
            null_values: options.null_values.clone(),
        };
        let table = Table { values, target: Some(target_values), rows, places };
        let examples = schema.take(&table, origin)?;
        Ok((schema, examples))
    }

    /// The inputs `f32 [N, F]` of a dataframe's rows, to predict with; the target need not be there.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a column that is missing; [`Error::Argument`] naming column and row for values of another
    /// type, and for missing values and unseen categories where these are refused. Rows are never left out here: a missing
    /// value in a column with [`Missing::DropRows`] is an error.
    pub fn inputs(&self, frame: &DataFrame) -> Result<Tensor> {
        let table = self.read(frame, None, false, &Origin::Frame)?;
        self.features(&table, &Origin::Frame)
    }

    /// The examples of a dataframe's rows, target and all. Rows with missing values are left out where
    /// [`Missing::DropRows`] was asked for.
    ///
    /// # Errors
    /// As [`TableSchema::inputs`], and for a target that is missing or of a class that the training rows do not have.
    pub fn examples(&self, frame: &DataFrame) -> Result<Examples> {
        self.examples_of(frame, None, &Origin::Frame)
    }

    /// Reads the rows of a CSV or Parquet file, to predict with; the target need not be there, and other columns are passed
    /// over.
    ///
    /// # Errors
    /// As [`TableSchema::inputs`], naming the file; [`Error::Io`] or [`Error::BadFile`] if it cannot be read.
    pub fn read_new(&self, path: impl AsRef<Path>) -> Result<NewSamples> {
        let path = path.as_ref();
        let origin = Origin::File(path);
        let options = TableOptions {
            separator: self.separator,
            null_values: self.null_values.clone(),
            ..TableOptions::default()
        };
        let is_ours =
            |name: &str| name == self.target.name || self.columns.iter().any(|plan| plan.name == name);
        let frame = super::read_any(path, &options, &is_ours)?;
        let table = self.read(&frame, None, false, &origin)?;
        let inputs = self.features(&table, &origin)?;
        let label = frame.column(&self.target.name).ok();
        let label = label.map(|column| self.target.given(column, &origin)).transpose()?;
        new_samples::of_table(inputs, label)
    }

    /// The names of the columns that are features, in their order.
    pub fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(|plan| plan.name.as_str()).collect()
    }

    /// The features' names, F of them: a column's own, `column=category`, or `column missing`.
    pub fn feature_names(&self) -> &[String] {
        &self.feature_names
    }

    /// The target's name.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// The classes' names; none for a regression.
    pub fn classes(&self) -> &[String] {
        &self.target.classes
    }

    /// What was subtracted from a regression's target and what it was divided by then: prediction · second + first is in the
    /// table's own unit. (0, 1) if it was not standardised.
    pub fn target_scale(&self) -> (f64, f64) {
        self.target.scale
    }

    pub(super) fn examples_of(
        &self,
        frame: &DataFrame,
        places: Option<&[usize]>,
        origin: &Origin<'_>,
    ) -> Result<Examples> {
        self.take(&self.read(frame, places, true, origin)?, origin)
    }

    /// Reads the columns that the schema asks for.
    fn read<'a>(
        &self,
        frame: &DataFrame,
        places: Option<&'a [usize]>,
        with_target: bool,
        origin: &Origin<'_>,
    ) -> Result<Table<'a>> {
        let known: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
        let row = |at: usize| places.map_or(at, |places| places[at]) + 1;
        let wanted = self.columns.iter().map(|plan| plan.name.as_str());
        let wanted = wanted.chain(with_target.then_some(self.target.name.as_str()));
        let absent: Vec<&str> = wanted.filter(|name| !known.contains(name)).collect();
        if absent.len() > 1 {
            let found =
                format!("none named {}; there are: {}", quoted(&absent), crate::error::listing(&known));
            return Err(origin.table("the columns that the training rows have", found));
        }
        let column = |name: &str| frame.column(name).map_err(|_| origin.no_column(name, &known));
        let values = self
            .columns
            .iter()
            .map(|plan| {
                let values = Values::of(column(&plan.name)?, plan.is_text(), &row, origin)?;
                match values {
                    // A column of nothing but missing values may have come as texts.
                    Values::Texts(texts) if !plan.is_text() => match texts.iter().flatten().next() {
                        None => Ok(Values::Numbers(vec![None; texts.len()])),
                        Some(text) => {
                            let found = format!("texts, as '{text}'");
                            Err(origin.column(&plan.name, "numbers, as the training rows have", found))
                        }
                    },
                    values => Ok(values),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let target = if with_target {
            Some(target::read(column(&self.target.name)?, self.target.kind, &row, origin)?)
        } else {
            None
        };
        let mut droppable: Vec<&Values> = Vec::new();
        // To predict, each row counts: what is missing is an error then.
        if let Some(target) = &target {
            let columns = values.iter().zip(&self.columns);
            droppable.extend(
                columns.filter(|(_, plan)| plan.missing == Missing::DropRows).map(|(values, _)| values),
            );
            droppable.extend(self.target.drop_missing.then_some(target));
        }
        let rows = whole_rows(frame.height(), &droppable);
        if rows.is_empty() {
            return Err(origin.table("a row or more", "none that is whole"));
        }
        Ok(Table { values, target, rows, places })
    }

    fn take(&self, table: &Table<'_>, origin: &Origin<'_>) -> Result<Examples> {
        let inputs = self.features(table, origin)?;
        let Some(values) = &table.target else {
            return Err(origin.no_column(&self.target.name, &[]));
        };
        let row = |at: usize| table.places.map_or(at, |places| places[at]) + 1;
        let labels = self.target.labels(values, &table.rows, &row, origin)?;
        match self.target.kind {
            TargetKind::Classification => Examples::new(inputs, labels, self.classes().len()),
            TargetKind::Regression => Examples::regression(inputs, labels),
        }
    }

    /// `f32 [N, F]`.
    fn features(&self, table: &Table<'_>, origin: &Origin<'_>) -> Result<Tensor> {
        let (n_rows, n_features) = (table.rows.len(), self.feature_names.len());
        // The features, and the tensor that is made of them.
        let needed = (n_rows as u64).saturating_mul(n_features as u64).saturating_mul(8);
        let advice = "leave out columns of many categories by `ignore`, or take fewer rows";
        budget::memory(format!("{}: {n_rows} rows of {n_features} features", origin.name()), needed, advice)?;
        let mut features = vec![0_f32; n_rows * n_features];
        let mut first = 0;
        for (plan, values) in self.columns.iter().zip(&table.values) {
            let n_own = plan.feature_names().len();
            let names: HashMap<&str, usize> = match &plan.encoding {
                Encoding::Categories { names } => {
                    names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect()
                }
                Encoding::Number { .. } => HashMap::new(),
            };
            for (to, &from) in features.chunks_exact_mut(n_features).zip(&table.rows) {
                let own = &mut to[first..first + n_own];
                let place = || table.places.map_or(from, |places| places[from]) + 1;
                if values.is_missing(from) {
                    if matches!(plan.missing, Missing::Error | Missing::DropRows) {
                        return Err(missing(&plan.name, place(), origin));
                    }
                    if plan.tells_missing() {
                        own[n_own - 1] = 1.0;
                    }
                }
                match (&plan.encoding, values) {
                    (Encoding::Number { mean, deviation, fill }, Values::Numbers(numbers)) => {
                        own[0] = ((numbers[from].unwrap_or(*fill) - mean) / deviation) as f32;
                    }
                    (Encoding::Categories { .. }, Values::Texts(texts)) => {
                        let Some(text) = texts[from].as_deref() else { continue };
                        match names.get(text) {
                            Some(&at) => own[at] = 1.0,
                            None if self.unseen == Unseen::Zeros => {}
                            None => {
                                let found = format!(
                                    "'{text}' in row {}; unseen = \"zeros\" would let it pass",
                                    place()
                                );
                                return Err(origin.column(
                                    &plan.name,
                                    "the training rows' categories",
                                    found,
                                ));
                            }
                        }
                    }
                    // `read` and `fit` see to it that they fit each other.
                    _ => {
                        return Err(origin.column(&plan.name, "values of the training rows' type", "others"));
                    }
                }
            }
            first += n_own;
        }
        Ok(Tensor::f_from_slice(&features)?.f_view([n_rows as i64, n_features as i64])?.to_kind(Kind::Float))
    }
}

/// "'a', 'b'".
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Learns what becomes of one column.
fn plan(
    name: &str,
    values: &Values,
    rule: Missing,
    rows: &[usize],
    row: &dyn Fn(usize) -> usize,
    options: &TableOptions,
    origin: &Origin<'_>,
) -> Result<Plan> {
    if rule == Missing::Error
        && let Some(at) = values.first_missing(rows)
    {
        return Err(missing(name, row(at), origin));
    }
    let encoding = match values {
        Values::Numbers(numbers) => {
            let mut present: Vec<f64> = rows.iter().filter_map(|&row| numbers[row]).collect();
            if present.is_empty() && rule != Missing::Category {
                let found = "missing values only; leave it out by `ignore`";
                return Err(origin.column(name, "a number or more", found));
            }
            let (mean, deviation) = moments(numbers, rows);
            let fill = if rule == Missing::Median { median(&mut present) } else { mean };
            if options.standardize {
                let deviation = if deviation > 0.0 { deviation } else { 1.0 };
                Encoding::Number { mean, deviation, fill }
            } else {
                Encoding::Number { mean: 0.0, deviation: 1.0, fill }
            }
        }
        Values::Texts(texts) => {
            let names = values::distinct(texts, rows);
            if names.len() > options.max_categories {
                return Err(too_many(name, texts, rows, names.len(), row, options, origin));
            }
            Encoding::Categories { names: names.into_iter().map(str::to_owned).collect() }
        }
    };
    Ok(Plan { name: name.to_owned(), missing: rule, encoding })
}

/// Mean and standard deviation (over N, as scikit-learn's `StandardScaler`) of the numbers there are; 0 and 0 for none.
pub(super) fn moments(numbers: &[Option<f64>], rows: &[usize]) -> (f64, f64) {
    let present = || rows.iter().filter_map(|&row| numbers[row]);
    let n = present().count().max(1) as f64;
    // Divided first: the sum of large numbers might be infinite.
    let mean = present().map(|number| number / n).sum::<f64>();
    let variance = present().map(|number| (number - mean).powi(2) / n).sum::<f64>();
    (mean, variance.sqrt())
}

/// Of an even count the mean of the two in the middle; 0 for none.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    match numbers {
        [] => 0.0,
        _ if numbers.len() % 2 == 1 => numbers[numbers.len() / 2],
        _ => numbers[numbers.len() / 2 - 1].midpoint(numbers[numbers.len() / 2]),
    }
}

/// The rows in which none of the columns has a missing value.
fn whole_rows(n: usize, columns: &[&Values]) -> Vec<usize> {
    (0..n).filter(|&row| columns.iter().all(|values| !values.is_missing(row))).collect()
}

fn missing(column: &str, row: usize, origin: &Origin<'_>) -> Error {
    let found = format!(
        "a missing one in row {row}; the option `missing` (\"drop-rows\", \"mean\", \"median\" or \"category\") says what to do"
    );
    origin.column(column, "a value in each row", found)
}

fn too_many(
    column: &str,
    texts: &[Option<String>],
    rows: &[usize],
    n: usize,
    row: &dyn Fn(usize) -> usize,
    options: &TableOptions,
    origin: &Origin<'_>,
) -> Error {
    let expected = format!("up to {} categories", options.max_categories);
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    let present = || rows.iter().filter_map(|&row| texts[row].as_deref().map(|text| (row, text)));
    let n_numbers = present().filter(|(_, text)| is_number(text)).count();
    let advice = match present().find(|(_, text)| !is_number(text)) {
        Some((at, text)) if 2 * n_numbers > rows.len() => {
            format!(
                "most are numbers, but row {} has '{text}', which `null_values` could make missing",
                row(at)
            )
        }
        _ => "leave the column out by `ignore`, or raise `max_categories`".to_owned(),
    };
    origin.column(column, &expected, format!("{n} different texts; {advice}"))
}
