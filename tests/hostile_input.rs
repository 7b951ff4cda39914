//! Inputs changed at random: whatever comes of them, it is no panic and does not go on for ever. A few of each ordinarily, for a
//! minute each with `GLISTEN_TEST_FULL`, and for as many seconds as `GLISTEN_FUZZ_SECONDS` says.

use std::path::Path;
use std::time::{Duration, Instant};

use glisten::analytics::{ExperimentAnalytics, Search};
use glisten::prelude::*;
use glisten::train::Sweep;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::hostile_store::small_store;

/// Random numbers for one case after the other: `few` cases, or as many as there is time for. A case that fails has its number
/// above the panic; `GLISTEN_FUZZ_CASE` begins with it.
fn cases(few: u64) -> impl Iterator<Item = ChaCha8Rng> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let full = std::env::var_os("GLISTEN_TEST_FULL").map(|_| 60);
    let until =
        number("GLISTEN_FUZZ_SECONDS").or(full).map(|secs| Instant::now() + Duration::from_secs(secs));
    let first = number("GLISTEN_FUZZ_CASE").unwrap_or(0);
    (first..)
        .take_while(move |case| match until {
            Some(until) => Instant::now() < until,
            None => *case < first + few,
        })
        .map(|case| {
            println!("case {case}");
            ChaCha8Rng::seed_from_u64(case)
        })
}

/// A few bytes changed, put in, taken out or repeated.
fn mutated(whole: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..1 << random.gen_range(0..6) {
        if bytes.is_empty() {
            break;
        }
        let at = random.gen_range(0..bytes.len());
        let end = (at + 1 + random.gen_range(0..64)).min(bytes.len());
        match random.gen_range(0..8) {
            0..3 => bytes[at] = random.r#gen(),
            3 => bytes[at] ^= 1 << random.gen_range(0..8),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = random.gen_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => {
                bytes[at] =
                    *[0, 1, 0x7F, 0x80, 0xFF, b'(', b'"', b'[', b'{'].get(random.gen_range(0..9)).unwrap()
            }
            _ => bytes.truncate(random.gen_range(at..=bytes.len())),
        }
    }
    bytes
}

/// All that commands do with a store that somebody sent. What comes of it does not matter here.
pub(crate) fn use_all_of(path: &Path, out: &Path) {
    let Ok(store) = Store::open(path) else { return };
    let _ = (store.experiments(), store.run_records(None), store.metric_points(None, None));
    let analytics = ExperimentAnalytics::all(&store).environment(true);
    let _ = (analytics.runs(), analytics.metrics(), analytics.search("fraction < 1").map(|all| all.runs()));
    for name in store.experiment_names().unwrap_or_default() {
        let Ok(study) = Experiment::open_in(&store, &name) else { continue };
        let records = store.run_records(Some(&name)).unwrap_or_default();
        for record in records {
            let _ = (store.series(record.id, "loss"), store.log_lines(record.id, 0));
            let Ok(run) = study.find_run(&record.name) else { continue };
            let _ = (run.selection_records(), run.confusion_matrix("test"), run.selections());
            for artifact in &record.artifacts {
                let _ = artifact.open();
            }
        }
        let _ = (study.summary(), study.report(out.join("report.html")));
        let _ = (study.export().parquet(out.join("parquet")), study.export().json_lines(out.join("json")));
        let _ = (study.export().tensorboard(out.join("logs")), study.export().csv(out.join("csv")));
        if let Ok(run) = study.start_run("new") {
            let _ = (run.log_metric("loss", 0.5, 1), run.log_text("line"), run.complete());
        }
        let _ = study.delete_run("run");
        let _ = Experiment::delete_in(&store, &name);
    }
}

/// What a small store is in one file, without a journal.
fn whole_store(folder: &Path) -> Vec<u8> {
    let path = folder.join("whole.db");
    small_store(&path);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn the_bytes_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole_store(folder.path());
    for mut random in cases(60) {
        let place = tempfile::tempdir_in(&folder).unwrap();
        let path = place.path().join("sent.db");
        std::fs::write(&path, mutated(&whole, &mut random)).unwrap();
        if random.gen_ratio(1, 4) {
            let journal = mutated(&whole[..4096], &mut random);
            std::fs::write(place.path().join("sent.db-wal"), journal).unwrap();
        }
        use_all_of(&path, &place.path().join("out"));
    }
}

#[test]
fn the_rows_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let whole = whole_store(folder.path());
    let connection = rusqlite::Connection::open(folder.path().join("whole.db")).unwrap();
    let columns: Vec<(String, String)> = connection
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    for mut random in cases(40) {
        let place = tempfile::tempdir_in(&folder).unwrap();
        let path = place.path().join("sent.db");
        std::fs::write(&path, &whole).unwrap();
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;").unwrap();
        for _ in 0..random.gen_range(1..5) {
            let (table, column) = &columns[random.gen_range(0..columns.len())];
            let text: String = (0..random.gen_range(0..20)).map(|_| random.r#gen::<char>()).collect();
            let value: rusqlite::types::Value = match random.gen_range(0..7) {
                0 => rusqlite::types::Value::Null,
                1 => random.r#gen::<i64>().into(),
                2 => random.gen_range(-2..300_i64).into(),
                3 => f64::from_bits(random.r#gen()).into(),
                4 => text.into(),
                5 => text.into_bytes().into(),
                _ => format!("{{\"a\":{}", "[".repeat(random.gen_range(0..300))).into(),
            };
            let sql = format!("UPDATE {table} SET {column} = ? WHERE abs(random()) % 3 < 2");
            let _ = connection.execute(&sql, [value]);
        }
        drop(connection);
        use_all_of(&path, &place.path().join("out"));
    }
}

#[test]
fn kept_selections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.db");
    small_store(&path);
    let store = Store::open(&path).unwrap();
    let run = Experiment::open_in(&store, "study").unwrap().find_run("run").unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let read = |column: &str| {
        let sql = format!("SELECT {column} FROM selections");
        connection.query_row(&sql, [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
    };
    let whole = ["samples", "gains"].map(read);
    for mut random in cases(300) {
        let [samples, gains] = whole.each_ref().map(|bytes| mutated(bytes, &mut random));
        let count: i64 = match random.gen_range(0..4) {
            0 => random.r#gen(),
            1 => random.gen_range(0..1000),
            _ => 200,
        };
        let sql = "UPDATE selections SET count = ?, samples = ?, gains = ?";
        connection.execute(sql, rusqlite::params![count, samples, gains]).unwrap();
        let _ = (run.selection_records(), run.selections());
    }
}

/// A kilobyte that stands for a billion samples is not unpacked.
#[test]
fn a_selection_that_would_not_fit_into_memory_is_refused_before_it_is_unpacked() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.db");
    small_store(&path);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 1 << 24]).unwrap();
    let bytes = encoder.finish().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE selections SET count = ?, samples = ?, gains = NULL";
    let message = |count: i64| {
        connection.execute(sql, rusqlite::params![count, bytes]).unwrap();
        let run =
            Experiment::open_in(&Store::open(&path).unwrap(), "study").unwrap().find_run("run").unwrap();
        run.selection_records().unwrap_err().to_string()
    };
    // Each position once: steps of nothing are no selection.
    assert!(message(1 << 24).contains("bytes that do not decode"), "the same sample again and again");
    for count in [1 << 40, i64::MAX, -1] {
        let message = message(count);
        assert!(message.contains("memory") || message.contains("do not decode"), "{count}: {message}");
    }
    assert!(message(1 << 40).contains("memory"));
}

#[test]
fn searches() {
    let texts = [
        "fraction <= 0.3 and seed = 1",
        "not (validation:accuracy.max > 0.9 or tags.stage contains 'fin') and run in (a, \"b c\", 'd')",
        "parameters.x exists and not note exists or created >= 2025-01-01T00:00:00Z",
        r#"{"Filters": [{"Name": "seed", "Operator": "In", "Value": "1,2"}], "SubExpressions": [{"NestedFilters":
           [{"NestedPropertyName": "metrics", "Filters": [{"Name": "metrics.max", "Operator": "GreaterThan", "Value": "0.5"}]}],
           "Operator": "Or"}]}"#,
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    small_store(&path);
    let store = Store::open(&path).unwrap();
    let ask = |text: &str| {
        if let Ok(search) = text.parse::<Search>() {
            let shown = search.to_string();
            let again = shown.parse::<Search>();
            assert!(again.is_ok(), "{text:?} is shown as {shown:?}, which is no search");
            let _ = ExperimentAnalytics::all(&store).search(search).unwrap().runs();
        }
    };
    for (opening, closing) in
        [("(", ")"), ("not ", ""), ("{\"SubExpressions\": [", "]}"), ("x in (", ")"), ("'", "'")]
    {
        for n in [10, 1000, 100_000] {
            ask(&format!("{}seed = 1{}", opening.repeat(n), closing.repeat(n)));
        }
    }
    for joint in [" and ", " or "] {
        ask(&vec!["seed = 1"; 20_000].join(joint));
    }
    // An error far to the right in a line shows the place all the same.
    let message = format!("{}seed = 1 seed", " ".repeat(70_000)).parse::<Search>().unwrap_err().to_string();
    assert!(message.contains("at character 70010"), "{}", &message[..200]);
    for mut random in cases(2_000) {
        let text = texts[random.gen_range(0..texts.len())];
        ask(&String::from_utf8_lossy(&mutated(text.as_bytes(), &mut random)));
    }
}

#[test]
fn sweep_files() {
    let sweeps = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/sweeps");
    let mut texts: Vec<Vec<u8>> = std::fs::read_dir(sweeps)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    texts.sort();
    assert!(texts.len() > 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sent.toml");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        if let Ok(sweep) = Sweep::from_file(&path) {
            let _ = (sweep.check(), sweep.selections());
        }
    };
    for text in &texts {
        std::fs::write(&path, text).unwrap();
        Sweep::from_file(&path).unwrap();
    }
    for (opening, closing) in
        [("a = [", "]"), ("[", "]"), ("a = {b = ", "}"), ("a.", "a = 1"), ("[[a]]\n", "")]
    {
        for n in [10, 1000, 100_000] {
            read(format!("{}{}", opening.repeat(n), closing.repeat(n)).as_bytes());
            let inner = opening.trim_start_matches("a = ");
            read(format!("seeds = {}1{}", inner.repeat(n), closing.repeat(n)).as_bytes());
        }
    }
    for mut random in cases(500) {
        let text = &texts[random.gen_range(0..texts.len())];
        read(&mutated(text, &mut random));
    }
}
