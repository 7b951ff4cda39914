//! The table of the study: Covertype (Blackard and Dean, 1999), 581,012 patches of forest with seven cover types, as the
//! package `scikit-multiflow` of the Python registry carries it; two samples of its rows, the same ones on every machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::grid::Condition;
use crate::folders::{self, Folders};
use crate::{process, python, say};

/// The release that carries the table.
const PACKAGE: &str = "scikit-multiflow==0.4.1 \
     --hash=sha256:ed4f791107cb7f789f0bb0620c50e743a4d397905146a4d06c62eb98607aa101\n";
const ARCHIVE: &str = "scikit-multiflow-0.4.1.tar.gz";
const MEMBER: &str = "scikit-multiflow-0.4.1/src/skmultiflow/data/datasets/covtype.csv";

/// What pip needs to look into a source distribution as old as that: it runs its `setup.py`.
const REQUIREMENTS: &str = "numpy==2.4.6\nsetuptools==81.0.0\n";

/// The columns of numbers; after them come four columns 0 or 1 of wilderness areas, forty of soil types, and the cover type.
const NUMBERS: [&str; 10] = [
    "Elevation",
    "Aspect",
    "Slope",
    "Horizontal_Distance_To_Hydrology",
    "Vertical_Distance_To_Hydrology",
    "Horizontal_Distance_To_Roadways",
    "Hillshade_9am",
    "Hillshade_Noon",
    "Hillshade_3pm",
    "Horizontal_Distance_To_Fire_Points",
];
const N_AREAS: usize = 4;
const N_SOILS: usize = 40;
const COVERS: [&str; 7] = [
    "Spruce/Fir",
    "Lodgepole Pine",
    "Ponderosa Pine",
    "Cottonwood/Willow",
    "Aspen",
    "Douglas-fir",
    "Krummholz",
];

/// A sample of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// 80,000 rows, with the cover types as frequent as they are.
    Natural,
    /// The six cover types that have 9,493 rows or more, so many of each: what classes are thinned out of.
    Even,
}

impl Table {
    const ALL: [Self; 2] = [Self::Natural, Self::Even];

    /// The one that is used under a condition. Covertype is unbalanced as it is, its validation set too; imbalance in the
    /// training set alone needs classes of one size to begin with.
    pub(super) fn of(condition: Condition) -> Self {
        if condition == Condition::Imbalance { Self::Even } else { Self::Natural }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Natural => "covertype",
            Self::Even => "covertype-even",
        }
    }

    pub(super) fn file(self) -> String {
        format!("{}.csv", self.name())
    }

    fn sha256(self) -> &'static str {
        match self {
            Self::Natural => "1067a4812e0481a1d0794c2d861d8922dc307cc9537a45af824f885685b46666",
            Self::Even => "e5b6ce9c64889d6738f3195eb269cebb7fd398a51332ae7f7c071388ac95766b",
        }
    }

    /// Whether a row of that class is taken, when `n_all` rows and `n_class` of its class have been taken.
    fn takes(self, class: usize, n_all: usize, n_class: usize) -> bool {
        match self {
            Self::Natural => n_all < 80_000,
            Self::Even => COVERS[class] != "Cottonwood/Willow" && n_class < 9_493,
        }
    }

    /// The sample as a CSV file.
    fn csv(self, rows: &[Row<'_>]) -> String {
        let mut text = NUMBERS.map(str::to_lowercase).join(",");
        text.push_str(",wilderness_area,soil_type,cover_type\n");
        let (mut n_all, mut n_of) = (0, [0; COVERS.len()]);
        for row in rows {
            if self.takes(row.cover, n_all, n_of[row.cover]) {
                n_all += 1;
                n_of[row.cover] += 1;
                let _ = writeln!(
                    text,
                    "{},area {},soil {},{}",
                    row.numbers,
                    row.area + 1,
                    row.soil + 1,
                    COVERS[row.cover]
                );
            }
        }
        text
    }
}

/// A row of the published table.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    /// The first ten fields as they stand.
    numbers: &'a str,
    /// Counted from 0, as the next two.
    area: usize,
    soil: usize,
    cover: usize,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (at, _) = line.match_indices(',').nth(NUMBERS.len() - 1)?;
        let (numbers, rest) = (&line[..at], &line[at + 1..]);
        let rest: Vec<&str> = rest.split(',').collect();
        let (flags, cover) = rest.split_at_checked(N_AREAS + N_SOILS)?;
        let one = |flags: &[&str]| {
            let mut ones = flags.iter().enumerate().filter(|(_, flag)| **flag == "1").map(|(at, _)| at);
            ones.next().filter(|_| ones.next().is_none())
        };
        let [cover] = cover else { return None };
        let cover = cover.parse::<usize>().ok().filter(|cover| (1..=COVERS.len()).contains(cover))? - 1;
        Some(Self { numbers, area: one(&flags[..N_AREAS])?, soil: one(&flags[N_AREAS..])?, cover })
    }
}

/// The rows of the published table in an order that is random, and always the same.
fn rows(text: &str) -> Result<Vec<Row<'_>>> {
    let mut lines: Vec<(u64, usize, &str)> =
        text.lines().skip(1).enumerate().map(|(number, line)| (mixed(number as u64), number, line)).collect();
    lines.sort_unstable_by_key(|(key, ..)| *key);
    lines
        .into_iter()
        .map(|(_, number, line)| {
            Row::parse(line.trim_end()).with_context(|| {
                format!("line {} is no row of Covertype: expected ten numbers, one of four areas, one of forty soils and a cover type from 1 to 7", number + 2)
            })
        })
        .collect()
}

/// SplitMix64's output for a state: one to one, and like random.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The folder of the tables in the cache.
pub(super) fn folder(folders: &Folders) -> PathBuf {
    folders.cache.join("study")
}

/// Whether both files are there.
pub(super) fn is_there(folders: &Folders) -> bool {
    Table::ALL.iter().all(|table| folder(folders).join(table.file()).is_file())
}

/// Makes the files, unless they are there.
///
/// # Errors
/// If the package cannot be had, or what comes of it is not what it should be.
pub(super) fn provide(folders: &Folders) -> Result<()> {
    let folder = folder(folders);
    let _lock = folders::lock(&folder)?;
    if is_there(folders) {
        return Ok(());
    }
    say::step("Covertype, from the Python registry's package scikit-multiflow 0.4.1");
    let beside = folder.join("part");
    folders::remove(&beside)?;
    fs::create_dir_all(&beside).with_context(|| format!("cannot make {}", beside.display()))?;
    let text = published(folders, &beside)?;
    let rows = rows(&text)?;
    for table in Table::ALL {
        let csv = table.csv(&rows);
        let found = hex::encode(Sha256::digest(&csv));
        if found != table.sha256() {
            bail!("{}: expected SHA-256 {}, found {found}", table.file(), table.sha256());
        }
        folders::write_atomically(&folder.join(table.file()), csv)?;
    }
    folders::remove(&beside)
}

/// Downloads the package into `folder`, and reads the table.
fn published(folders: &Folders, folder: &Path) -> Result<String> {
    let environment = python::Environment {
        place: &folders.target.join("study-python"),
        requirements: REQUIREMENTS,
        without_dependencies: true,
    };
    let python = environment.provide("installing NumPy and setuptools, for pip to look into the package")?;
    let requirements = folder.join("requirements.txt");
    folders::write_atomically(&requirements, PACKAGE)?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "--disable-pip-version-check", "download", "--no-cache-dir", "--no-deps"]);
    pip.args(["--require-hashes", "--no-binary=:all:", "--no-build-isolation", "--dest"]).arg(folder);
    pip.arg("--requirement").arg(&requirements).env("TMPDIR", folder).env("PIP_ROOT_USER_ACTION", "ignore");
    process::run_behind_spinner("downloading 16 MB", &mut [pip])?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(folder.join(ARCHIVE)).arg("-C").arg(folder).arg(MEMBER);
    process::output(&mut tar)?;
    let path = folder.join(MEMBER);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{NUMBERS, Row, Table, mixed, rows};

    fn line(area: usize, soil: usize, cover: usize) -> String {
        let mut fields: Vec<String> = (0..NUMBERS.len()).map(|n| (n * 7).to_string()).collect();
        fields.extend((0..44).map(|at| u8::from(at == area || at == 4 + soil).to_string()));
        fields.push(cover.to_string());
        fields.join(",")
    }

    #[test]
    fn flags_become_categories() {
        let line = line(2, 28, 5);
        let row = Row::parse(&line).unwrap();
        assert_eq!(row, Row { numbers: "0,7,14,21,28,35,42,49,56,63", area: 2, soil: 28, cover: 4 });
        let csv = Table::Natural.csv(&[row]);
        assert!(csv.ends_with(
            "wilderness_area,soil_type,cover_type\n0,7,14,21,28,35,42,49,56,63,area 3,soil 29,Aspen\n"
        ));
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        for wrong in ["1,2,3".to_owned(), line(1, 3, 0), line(1, 3, 8), line(1, 99, 2), line(1, 3, 2) + ",1"]
        {
            let text = format!("header\n{}\n{wrong}\n", line(0, 0, 1));
            let error = rows(&text).unwrap_err();
            assert!(format!("{error:#}").contains("line 3 is no row of Covertype"), "{error:#}");
        }
    }

    #[test]
    fn even_tables_leave_out_the_class_that_is_too_small() {
        assert!(!Table::Even.takes(3, 0, 0));
        assert!(Table::Even.takes(4, 50_000, 9_492) && !Table::Even.takes(4, 50_000, 9_493));
        assert!(Table::Natural.takes(3, 79_999, 5) && !Table::Natural.takes(3, 80_000, 5));
    }

    #[test]
    fn the_order_is_that_of_splitmix64() {
        // The generator's first outputs with seed 0, as its reference implementation gives them (Vigna, splitmix64.c): its
        // state grows by the constant that `mixed` adds.
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mixed(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }
}
