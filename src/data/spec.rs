//! A data set as a sweep file or a command line names it: by name, or by path with what is to be done with it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::catalog::Kind;
use super::dataset::Dataset;
use super::folder::{Channels, ImageOptions};
use super::imbalance::ClassImbalance;
use super::new_samples::Place;
use super::noise::LabelNoise;
use super::split::{Split, Splits};
use super::table::TableOptions;
use crate::error::{Error, Result};

/// Which data to train on. In TOML either a text, or a table:
///
/// ```toml
/// data = "fashion-mnist"          # a name, or a folder of images
///
/// [data]
/// path = "titanic.csv"            # or .parquet, .npy (with `labels`), .npz, a folder of images; or name = "mnist"
/// target = "survived"
/// table = { missing = "median", ignore = ["name"], test_share = 0.2 }
/// noise = { rate = 0.2 }
/// ```
///
/// Paths are relative to the working directory. Class imbalance and label noise are for the training set, after the split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataSpec {
    fields: Fields,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resize: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Channels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<TableOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imbalance: Option<ClassImbalance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<LabelNoise>,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    Parquet,
    Npy,
    Npz,
    Folder,
}

impl DataSpec {
    /// A data set's name (`fashion-mnist`), or the path of a folder of images, a `.csv`, `.parquet`, `.npy` or `.npz` file.
    /// What is no known name and looks like a path, or is one, is a path.
    pub fn new(name_or_path: &str) -> Self {
        let mut fields = Fields::default();
        let path = Path::new(name_or_path);
        let is_path = name_or_path.parse::<Kind>().is_err()
            && (name_or_path.contains(std::path::MAIN_SEPARATOR)
                || path.exists()
                || form_of(path) != Form::Folder);
        if is_path {
            fields.path = Some(path.to_path_buf());
        } else {
            fields.name = Some(name_or_path.to_owned());
        }
        Self { fields }
    }

    /// Names the column of a table that is learnt.
    #[must_use]
    pub fn target(mut self, column: impl Into<String>) -> Self {
        self.fields.target = Some(column.into());
        self
    }

    /// Says how a table is read.
    #[must_use]
    pub fn table(mut self, options: TableOptions) -> Self {
        self.fields.table = Some(options);
        self
    }

    /// Brings every image of a folder to this height and width.
    #[must_use]
    pub fn resize(mut self, size: [u32; 2]) -> Self {
        self.fields.resize = Some(size);
        self
    }

    /// Names the file of the labels that belong to an `.npy` file of inputs.
    #[must_use]
    pub fn labels(mut self, path: impl Into<PathBuf>) -> Self {
        self.fields.labels = Some(path.into());
        self
    }

    /// Thins out classes of the training set, after the split.
    #[must_use]
    pub fn imbalance(mut self, imbalance: ClassImbalance) -> Self {
        self.fields.imbalance = Some(imbalance);
        self
    }

    /// Makes labels of the training set noisy, after the split.
    #[must_use]
    pub fn noise(mut self, noise: LabelNoise) -> Self {
        self.fields.noise = Some(noise);
        self
    }

    /// Whether it can be loaded, as far as can be told without loading: names are known, paths lead somewhere, what is asked
    /// for fits the form.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first field that is not as it should be; [`Error::Io`] for a path that leads nowhere.
    pub fn check(&self) -> Result<()> {
        let Fields { name, path, target, labels, resize, channels, table, imbalance, noise } = &self.fields;
        let form = match (name, path) {
            (Some(name), None) => {
                if let Err(Error::Argument { expected, got, .. }) = name.parse::<Kind>() {
                    let expected = format!(
                        "{expected}, or the path of a folder of images, a .csv, .parquet, .npy or .npz file"
                    );
                    return Err(Error::argument("data", expected, got));
                }
                None
            }
            (None, Some(path)) => {
                std::fs::metadata(path).map_err(Error::io(path, "looking for the data"))?;
                Some(form_of(path))
            }
            (Some(_), Some(_)) => return Err(Error::argument("data", "either `name` or `path`", "both")),
            (None, None) => return Err(Error::argument("data", "`name` or `path`", "neither")),
        };
        let is_table = matches!(form, Some(Form::Csv | Form::Parquet));
        if is_table && target.is_none() {
            return Err(Error::argument(
                "data.target",
                "the column of the table that is learnt (--target)",
                "none",
            ));
        }
        if form == Some(Form::Npy) && labels.is_none() {
            return Err(Error::argument("data.labels", "the .npy file of the labels", "none"));
        }
        let misplaced = [
            ("data.target", target.is_some() && !is_table, "a table (.csv, .parquet)"),
            ("data.table", table.is_some() && !is_table, "a table (.csv, .parquet)"),
            ("data.labels", labels.is_some() && form != Some(Form::Npy), "an .npy file"),
            ("data.resize", resize.is_some() && form != Some(Form::Folder), "a folder of images"),
            ("data.channels", channels.is_some() && form != Some(Form::Folder), "a folder of images"),
        ];
        if let Some((field, _, of)) = misplaced.iter().find(|(_, misplaced, _)| *misplaced) {
            return Err(Error::argument(*field, format!("no such field but for {of}"), self));
        }
        table.iter().try_for_each(TableOptions::check)?;
        imbalance.iter().try_for_each(ClassImbalance::check)?;
        noise.iter().try_for_each(LabelNoise::check)
    }

    /// Loads the data set, as it is published or stored; imbalance and noise come with [`DataSpec::load_split`].
    ///
    /// # Errors
    /// As [`DataSpec::check`], and as the reader of its form.
    pub fn load(&self) -> Result<Dataset> {
        self.check()?;
        let Fields { name, path, target, labels, resize, channels, table, .. } = &self.fields;
        let (Some(path), Some(form)) = (path, path.as_deref().map(form_of)) else {
            return Dataset::named(name.as_deref().unwrap_or_default());
        };
        let options = table.clone().unwrap_or_default();
        let target = target.as_deref().unwrap_or_default();
        let stem =
            || path.file_stem().map_or_else(|| "data".into(), |stem| stem.to_string_lossy().into_owned());
        match form {
            Form::Csv => Dataset::from_csv_with(path, target, &options),
            Form::Parquet => Dataset::from_parquet_with(path, target, &options),
            Form::Npz => Dataset::from_npz(stem(), path),
            Form::Npy => Dataset::from_npy(stem(), path, labels.as_deref().unwrap_or(path)),
            Form::Folder => {
                let options = ImageOptions { name: None, resize: *resize, channels: *channels };
                Dataset::from_folder_with(path, &options)
            }
        }
    }

    /// Loads the data set, takes `take` samples if given (the first of a named data set, which are mixed; of one's own data,
    /// which may be sorted by class, a sample drawn by the split's seed, see [`Dataset::take_sample`]), splits it, and makes its training set unbalanced and its
    /// labels noisy as asked for, in that order: validation and test set stay clean.
    ///
    /// # Errors
    /// As [`DataSpec::load`], [`Dataset::take`], [`Dataset::take_sample`], [`Dataset::split`], [`Splits::with_class_imbalance`] and
    /// [`Splits::with_label_noise`].
    pub fn load_split(&self, take: Option<usize>, split: Split) -> Result<Splits> {
        let dataset = self.load()?;
        let dataset = match take {
            Some(n) if self.fields.path.is_some() => dataset.take_sample(n, split.seed)?,
            Some(n) => dataset.take(n)?,
            None => dataset,
        };
        let mut splits = dataset.split(split)?;
        if let Some(imbalance) = self.fields.imbalance {
            splits = splits.with_class_imbalance(imbalance)?;
        }
        if let Some(noise) = self.fields.noise {
            splits = splits.with_label_noise(noise)?;
        }
        Ok(splits)
    }
}

impl DataSpec {
    /// Where it lies, to be predicted.
    pub(super) fn place(&self) -> Result<Place<'_>> {
        let Fields { name, path, labels, .. } = &self.fields;
        let path = match (path, name) {
            (Some(path), None) => path.as_path(),
            (None, Some(name)) => {
                self.check()?;
                return Ok(Place::Named(name));
            }
            _ => return Err(Error::argument("data", "either a name or a path", self)),
        };
        std::fs::metadata(path).map_err(Error::io(path, "looking for the data"))?;
        Ok(match form_of(path) {
            Form::Csv | Form::Parquet => Place::Table(path),
            Form::Npz => Place::Npz(path),
            Form::Npy => Place::Npy(path, labels.as_deref()),
            Form::Folder => Place::Images(path),
        })
    }
}

/// By the ending; what has another is taken for a folder.
fn form_of(path: &Path) -> Form {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let is = |ending: &str| name.ends_with(ending) && !path.is_dir();
    match () {
        () if is(".csv") || is(".csv.gz") => Form::Csv,
        () if is(".parquet") => Form::Parquet,
        () if is(".npy") => Form::Npy,
        () if is(".npz") => Form::Npz,
        () => Form::Folder,
    }
}

impl fmt::Display for DataSpec {
    /// The name or the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.fields.name, &self.fields.path) {
            (Some(name), _) => f.write_str(name),
            (None, Some(path)) => write!(f, "{}", path.display()),
            (None, None) => f.write_str("no data"),
        }
    }
}

impl From<&str> for DataSpec {
    fn from(name_or_path: &str) -> Self {
        Self::new(name_or_path)
    }
}

impl Serialize for DataSpec {
    /// A text, where that says it all.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let short = Self::new(&self.to_string());
        if *self == short {
            serializer.serialize_str(&self.to_string())
        } else {
            self.fields.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for DataSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct TextOrTable;

        impl<'de> Visitor<'de> for TextOrTable {
            type Value = DataSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a data set's name, a path, or a table with `name` or `path`")
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<DataSpec, E> {
                Ok(DataSpec::new(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<DataSpec, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(map)).map(|fields| DataSpec { fields })
            }
        }

        deserializer.deserialize_any(TextOrTable)
    }
}
