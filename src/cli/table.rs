//! Dataframes on standard output: as a table sized to the terminal, as CSV or as JSON.

use std::io::{self, IsTerminal, Write};

use console::measure_text_width;
use glisten::exchange::csv_cell;
use glisten::track::utc;
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::text::{fit, number, pad, printable, printable_lines, steers};

/// How a table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people, as wide as the terminal
    Table,
    /// Comma-separated values with a header, times as RFC 3339; --raw leaves texts as they are
    Csv,
    /// An array of objects, one a row
    Json,
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    /// Milliseconds since 1970, UTC.
    Time(i64),
    Text(String),
}

/// A dataframe, read column by column.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) names: Vec<String>,
    columns: Vec<Vec<Value>>,
    pub(super) n_rows: usize,
}

impl Table {
    pub(super) fn of(frame: &DataFrame) -> polars::prelude::PolarsResult<Self> {
        Ok(Self {
            names: frame.get_column_names().into_iter().map(ToString::to_string).collect(),
            columns: frame.columns().iter().map(values).collect::<Result<_, _>>()?,
            n_rows: frame.height(),
        })
    }

    pub(super) fn value(&self, column: usize, row: usize) -> &Value {
        &self.columns[column][row]
    }

    /// Where the column of that name stands.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The row's value in the column of that name, as text; empty where there is none.
    pub(super) fn text(&self, name: &str, row: usize) -> String {
        self.position(name).map_or_else(String::new, |column| self.value(column, row).show())
    }

    /// Prints it; nothing in it steers a terminal, or is run by a spreadsheet.
    pub(super) fn print(&self, format: Format) -> io::Result<()> {
        self.print_as(format, false)
    }

    /// Prints it; CSV that is `raw`, for a program that reads it, holds texts just as they are.
    pub(super) fn print_as(&self, format: Format, raw: bool) -> io::Result<()> {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let mut out = io::BufWriter::new(stdout.lock());
        match format {
            Format::Table => {
                let width = is_terminal.then(|| usize::from(console::Term::stdout().size().1));
                for line in self.lines(width) {
                    writeln!(out, "{line}")?;
                }
            }
            Format::Csv => self.write_csv(&mut out, raw)?,
            Format::Json => self.write_json(&mut out)?,
        }
        out.flush()
    }

    /// A header and a line a row, no line wider than `width`: the widest texts are cut first, then columns from the right
    /// are left out, and a last line says how many.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        const GAP: usize = 2;
        const NARROWEST: usize = 24;
        let mut columns: Vec<Shown> =
            self.names.iter().zip(&self.columns).map(|(name, values)| Shown::of(name, values)).collect();
        let mut n_left_out = 0;
        if let Some(width) = width {
            let total = |columns: &[Shown]| -> usize {
                columns.iter().map(|column| column.width + GAP).sum::<usize>().saturating_sub(GAP)
            };
            while total(&columns) > width {
                let texts = columns.iter_mut().filter(|column| !column.is_number);
                if let Some(widest) =
                    texts.max_by_key(|column| column.width).filter(|column| column.width > NARROWEST)
                {
                    widest.width -= 1;
                } else if columns.len() > 1 {
                    columns.pop();
                    n_left_out += 1;
                } else {
                    columns.iter_mut().for_each(|only| only.width = width);
                    break;
                }
            }
            // What was cut for the sake of columns that are gone now may grow again.
            for at in 0..columns.len() {
                let room = width.saturating_sub(total(&columns));
                columns[at].width = (columns[at].width + room).min(columns[at].wanted);
            }
        }
        let line = |cell: &dyn Fn(&Shown) -> String| {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| pad(&fit(&cell(column), column.width), column.width, column.is_number))
                .collect();
            cells.join(&" ".repeat(GAP)).trim_end().to_owned()
        };
        let mut lines = vec![console::style(line(&|column| column.name.clone())).bold().to_string()];
        lines.extend((0..self.n_rows).map(|row| line(&|column| column.cells[row].clone())));
        if n_left_out > 0 {
            lines.push(format!(
                "({}: --columns chooses, --format csv has all)",
                super::text::count(n_left_out, "more column", "more columns")
            ));
        }
        lines
    }

    /// RFC 4180. Unless it is to be raw, what would steer a terminal is escaped, be it on one or on a pipe that ends there,
    /// and no text reads like a formula of a spreadsheet.
    fn write_csv(&self, out: &mut impl Write, raw: bool) -> io::Result<()> {
        let field = |text: &str| {
            // Line breaks and tabulators are what a text may hold.
            let text = if raw { text.to_owned() } else { csv_cell(&printable_lines(text)).into_owned() };
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text
            }
        };
        let names: Vec<String> = self.names.iter().map(|name| field(name)).collect();
        writeln!(out, "{}", names.join(","))?;
        for row in 0..self.n_rows {
            let fields: Vec<String> = self.columns.iter().map(|values| field(&values[row].exact())).collect();
            writeln!(out, "{}", fields.join(","))?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "[")?;
        for row in 0..self.n_rows {
            write!(out, "{}", if row == 0 { "\n" } else { ",\n" })?;
            self.write_json_row(out, row)?;
        }
        writeln!(out, "{}]", if self.n_rows == 0 { "" } else { "\n" })
    }

    /// One row as an object, on one line without its end.
    pub(super) fn write_json_row(&self, out: &mut impl Write, row: usize) -> io::Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(out, Harmless);
        Ok(Row { table: self, row }.serialize(&mut serializer)?)
    }
}

/// A column as it is shown.
struct Shown {
    name: String,
    cells: Vec<String>,
    is_number: bool,
    wanted: usize,
    width: usize,
}

impl Shown {
    fn of(name: &str, values: &[Value]) -> Self {
        let (name, cells) = (printable(name), values.iter().map(Value::show).collect::<Vec<_>>());
        let is_number = values.iter().any(|value| matches!(value, Value::Integer(_) | Value::Number(_)));
        let wanted = cells.iter().chain([&name]).map(|cell| measure_text_width(cell)).max().unwrap_or(0);
        Self { name, cells, is_number, wanted, width: wanted }
    }
}

impl Value {
    /// For people: short, harmless, times where the reader is.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => number(*value),
            Self::Time(ms) => match utc(*ms) {
                Some(time) => time.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S").to_string(),
                None => format!("{ms} ms"),
            },
            Self::Text(text) => printable(text),
        }
    }

    /// For programs: every digit, times in UTC.
    fn exact(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("{value:?}"),
            Self::Time(ms) => rfc3339(*ms),
            Self::Text(text) => text.clone(),
        }
    }
}

fn rfc3339(ms: i64) -> String {
    match utc(ms) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        None => format!("{ms} ms"),
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            // JSON has no NaN and no infinities: serde_json writes null.
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Time(ms) => serializer.serialize_str(&rfc3339(*ms)),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

struct Row<'a> {
    table: &'a Table,
    row: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.table.names.len()))?;
        for (name, values) in self.table.names.iter().zip(&self.table.columns) {
            map.serialize_entry(name, &values[self.row])?;
        }
        map.end()
    }
}

/// JSON that may be shown on a terminal: the control characters that JSON allows in strings (U+007F to U+009F) are escaped
/// too, and so are the marks that turn the reading direction.
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            // All of these lie in the first plane; the joiner is part of emoji.
            if steers(c) && c != '\u{200D}' {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            } else {
                write!(writer, "{c}")?;
            }
        }
        Ok(())
    }
}

fn values(column: &Column) -> polars::prelude::PolarsResult<Vec<Value>> {
    fn each<T>(values: impl Iterator<Item = Option<T>>, value: impl Fn(T) -> Value) -> Vec<Value> {
        values.map(|one| one.map_or(Value::Null, &value)).collect()
    }
    let dtype = column.dtype();
    if dtype.is_bool() {
        return Ok(each(column.bool()?.iter(), Value::Boolean));
    }
    if let DataType::Datetime(unit, _) = dtype {
        let per_ms = match unit {
            TimeUnit::Milliseconds => 1,
            TimeUnit::Microseconds => 1000,
            TimeUnit::Nanoseconds => 1_000_000,
        };
        let physical = column.to_physical_repr().cast(&DataType::Int64)?;
        return Ok(each(physical.i64()?.iter(), |value: i64| Value::Time(value.div_euclid(per_ms))));
    }
    if dtype.is_float() {
        let numbers = column.cast(&DataType::Float64)?;
        return Ok(each(numbers.f64()?.iter(), Value::Number));
    }
    if dtype.is_integer() {
        let integers = column.cast(&DataType::Int64)?;
        return Ok(each(integers.i64()?.iter(), Value::Integer));
    }
    if dtype.is_null() {
        return Ok(vec![Value::Null; column.len()]);
    }
    let text = column.cast(&DataType::String)?;
    Ok(each(text.str()?.iter(), |text: &str| Value::Text(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::df;

    fn table() -> Table {
        let frame = df!(
            "run" => ["a, \"b\"", "\u{1b}[2J\u{9b}c", "plain"],
            "fraction" => [Some(0.1), None, Some(f64::NAN)],
            "seed" => [1_i64, 2, 3],
            "flip" => [true, false, true],
        );
        Table::of(&frame.unwrap()).unwrap()
    }

    #[test]
    fn json_has_types_and_nothing_that_steers_a_terminal() {
        let mut out = Vec::new();
        table().write_json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!([
            {"run": "a, \"b\"", "fraction": 0.1, "seed": 1, "flip": true},
            {"run": "\u{1b}[2J\u{9b}c", "fraction": null, "seed": 2, "flip": false},
            {"run": "plain", "fraction": null, "seed": 3, "flip": true},
        ]);
        assert_eq!(back, expected);
        assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text}");
        assert!(text.find("fraction").unwrap() < text.find("seed").unwrap(), "columns keep their order");
    }

    #[test]
    fn csv_is_exact_where_that_is_asked_for_and_else_harmless() {
        let written = |table: &Table, raw| {
            let mut out = Vec::new();
            table.write_csv(&mut out, raw).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(&table(), true),
            "run,fraction,seed,flip\n\"a, \"\"b\"\"\",0.1,1,true\n\u{1b}[2J\u{9b}c,,2,false\nplain,NaN,3,true\n"
        );
        assert_eq!(
            written(&table(), false),
            "run,fraction,seed,flip\n\"a, \"\"b\"\"\",0.1,1,true\n\\u{1b}[2J\\u{9b}c,,2,false\nplain,NaN,3,true\n"
        );
        let frame = df!("=run" => ["=1+1", "a\nb\tc\rd", "-0.5", "@x", "\u{202E}y"], "lr" => [-0.5, 1.0, 2.0, 3.0, 4.0]);
        let formulas = Table::of(&frame.unwrap()).unwrap();
        assert_eq!(
            written(&formulas, false),
            "'=run,lr\n'=1+1,-0.5\n\"a\nb\tc\\rd\",1.0\n-0.5,2.0\n'@x,3.0\n\\u{202e}y,4.0\n"
        );
        assert!(written(&formulas, true).starts_with("=run,lr\n=1+1,-0.5\n\"a\nb\tc\rd\",1.0\n"));
    }

    #[test]
    fn a_table_is_never_wider_than_the_terminal() {
        let long = df!("run" => ["r".repeat(100)], "status" => ["completed"], "x" => [0.123_456_789], "y" => [1_i64]);
        let table = Table::of(&long.unwrap()).unwrap();
        for width in 8..140 {
            for line in table.lines(Some(width)) {
                let is_note = line.starts_with('(');
                assert!(is_note || measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
        let narrow = table.lines(Some(20));
        assert_eq!(narrow[1], format!("{}…{}", "r".repeat(13), "r".repeat(6)));
        assert!(narrow[2].starts_with("(3 more columns:"), "{narrow:?}");
        assert_eq!(table.lines(None)[1], format!("{}  completed  0.12346  1", "r".repeat(100)));
        assert!(table.lines(Some(130)).iter().all(|line| !line.starts_with('(')), "everything fits");
    }
}
