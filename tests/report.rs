//! Reports from a store: several experiments, where runs were made, what was chosen, and every option of `glisten report`.

use std::path::Path;

use glisten::data::{ClassImbalance, FetchOptions, Kind, LabelNoise, Splits};
use glisten::prelude::*;
use glisten::report::report_on;
use glisten_reports::{Options, Section};

use polars::prelude::{DataFrame, ParquetReader, SerReader};

use super::support::{glisten, skipped};

/// An experiment of six runs with made-up metrics.
fn study(store: &Store, name: &str, lift: f64) -> Experiment {
    let study = Experiment::create_in(store, name).unwrap();
    for (strategy, fraction, accuracy, secs) in
        [("full", 1.0, 0.90, 10.0), ("glister", 0.3, 0.86, 3.5), ("fresh-random", 0.3, 0.88, 3.0)]
    {
        for seed in 0..2_i64 {
            let run = study.start_run(&format!("{strategy} seed {seed}")).unwrap();
            run.log_parameter("strategy", strategy).unwrap();
            run.log_parameter("fraction", fraction).unwrap();
            run.log_parameter("seed", seed).unwrap();
            run.log_parameter("lift", lift).unwrap();
            for epoch in 1..=3_i64 {
                let value = accuracy + lift - 0.3 / epoch as f64 + 0.001 * seed as f64;
                let metrics =
                    [("validation:accuracy", value), ("epoch:seconds", secs), ("selection:seconds", 0.1)];
                run.log_metrics(epoch, &metrics).unwrap();
            }
            let ends =
                [("test:accuracy", accuracy + lift + 0.002 * seed as f64), ("run:seconds", 4.0 * secs)];
            run.log_metrics(3, &ends).unwrap();
            run.complete().unwrap();
        }
    }
    study
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn several_experiments_share_a_report_and_each_run_says_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let studies = [study(&store, "first", 0.0), study(&store, "second", 0.01)];
    let path = folder.path().join("both.html");
    report_on(&studies, &path, &Options::default()).unwrap();
    let both = read(&path);
    for name in ["first &#x2f; full seed 0", "second &#x2f; glister seed 1"] {
        assert!(both.contains(&format!("<bdi>{name}</bdi>")), "{name}");
    }
    assert!(both.contains("<h1>first, second</h1>") && both.contains("12 completed runs"));
    assert!(both.contains("Validation accuracy of 12 runs over the epochs."), "metrics of both");
    // The program that made these runs is this test; whose machine it was is not said.
    let records = store.run_records(Some("first")).unwrap();
    let command = records[0].environment["command"].to_string();
    let host = records[0].environment["hostname"].to_string();
    assert!(both.contains(command.split(' ').next().unwrap().rsplit('/').next().unwrap()), "{command}");
    assert!(
        !both.contains("<dt><bdi>hostname</bdi></dt>") && !both.contains("<dt><bdi>folder</bdi></dt>"),
        "{host}"
    );
    assert!(both.contains("<dt><bdi>libtorch version</bdi></dt>"));

    studies[0].report_with(&path, &Options { runs: vec!["full*".to_owned()], ..Options::default() }).unwrap();
    let some = read(&path);
    assert!(some.contains("2 completed runs") && !some.contains("fresh-random seed"));
    assert!(some.contains("no subset was trained"));
    let error = report_on(&[], &path, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("at least one experiment"), "{error}");
    let wrong = Options { baseline: Some("fulll seed 0".to_owned()), ..Options::default() };
    let error = studies[0].report_with(&path, &wrong).unwrap_err();
    assert!(
        error.to_string().contains("no run is called `fulll seed 0`; there are: `full seed 0`"),
        "{error}"
    );
    assert_eq!(read(&path), some, "a report that fails leaves the one before in its place");
}

#[test]
fn the_numbers_lie_beside_a_report_that_asks_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let studies = [study(&store, "first", 0.0), study(&store, "a/second", 0.01)];
    let run = studies[0].find_run("glister seed 0").unwrap();
    std::fs::write(folder.path().join("model.bin"), "large").unwrap();
    run.log_artifact("model.bin", folder.path().join("model.bin")).unwrap();
    let table = |path: &Path| {
        let file = std::fs::File::open(folder.path().join(path)).unwrap();
        ParquetReader::new(file).finish().unwrap()
    };
    let path = folder.path().join("out/report.html");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let beside = |data: &str| Options { data: Some(folder.path().join(data)), ..Options::default() };

    let written = studies[0].report_with(&path, &beside("out/numbers/first")).unwrap();
    let html = read(&path);
    assert!(
        html.contains("in the folder <bdi class=\"file\">numbers&#x2f;first</bdi>"),
        "as seen from the report"
    );
    assert!(!html.contains(folder.path().to_str().unwrap()), "where it was written is not said");
    let names: Vec<_> = written.data().unwrap().files.iter().map(|file| file.file_name().unwrap()).collect();
    assert_eq!(names, ["runs.parquet", "metrics.parquet"], "the numbers, not the artifacts");
    let numbers = folder.path().join("out/numbers/first");
    let (runs, metrics) = (table(&numbers.join("runs.parquet")), table(&numbers.join("metrics.parquet")));
    assert!(runs.equals_missing(&studies[0].runs().unwrap()), "{runs}");
    assert!(metrics.equals_missing(&studies[0].metrics().unwrap()), "{metrics}");
    let before = (html, std::fs::read(numbers.join("metrics.parquet")).unwrap());
    studies[0].report_with(&path, &beside("out/numbers/first")).unwrap();
    let after = (read(&path), std::fs::read(numbers.join("metrics.parquet")).unwrap());
    assert!(before == after, "the same runs, the same bytes");

    // Of several experiments, the runs that are asked for, a folder each.
    let some =
        Options { runs: vec!["first / full*".to_owned(), "a/second / *seed 1".to_owned()], ..beside("all") };
    let written = report_on(&studies, &path, &some).unwrap();
    assert_eq!(written.data().unwrap().n_runs, 5);
    let names = |table: &DataFrame| -> Vec<String> {
        table.column("run").unwrap().str().unwrap().iter().flatten().map(str::to_owned).collect()
    };
    assert_eq!(names(&table(Path::new("all/first/runs.parquet"))), ["full seed 0", "full seed 1"]);
    assert_eq!(
        names(&table(Path::new("all/a%2Fsecond/runs.parquet"))),
        ["full seed 1", "glister seed 1", "fresh-random seed 1"]
    );
    assert!(
        read(&path).contains("in the folder <bdi class=\"file\">all</bdi>"),
        "not beside it: its name alone"
    );

    // What cannot be written leaves the report of before; no option, no word of it.
    let before = read(&path);
    let error = studies[0].report_with(&path, &beside("runs.db/numbers")).unwrap_err();
    assert!(error.to_string().contains("runs.db/numbers"), "{error}");
    assert_eq!(read(&path), before);
    let plain = studies[0].report(&path).unwrap();
    assert!(plain.data().is_none() && !read(&path).contains("<h2>The numbers</h2>"));
}

#[test]
fn a_report_of_data_at_hand_shows_what_was_chosen() {
    const NAME: &str = "a_report_of_data_at_hand_shows_what_was_chosen";
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    let Ok(data) = Dataset::open_with(Kind::FashionMnist, &options) else {
        return skipped(NAME, "Fashion-MNIST is not in the cache");
    };
    let data = data.split(Split::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let study = Experiment::create_in(&store, "chosen").unwrap();
    let trainer = Trainer::new(LogisticRegression::for_data(&data)).epochs(1).batch_size(500);
    trainer.select(Select::glister(0.01)).fit(&data, &study).unwrap();
    let path = folder.path().join("report.html");
    let beside = Options { data: Some(folder.path().join("numbers")), ..Options::default() };
    let written = study.report_with(&path, &beside).unwrap();
    let last = written.data().unwrap().files.last().unwrap();
    assert!(last.ends_with("runs/glister 1 %25 seed 0/selections.parquet"), "{}", last.display());
    let html = read(&path);
    assert!(html.contains("Classes of the chosen subsets</title>"), "the classes over the epochs");
    assert_eq!(html.matches("<img src=\"data:image/png;base64,").count(), 24);
    let runs = study.runs().unwrap();
    let first = study.find_run(runs.column("run").unwrap().str().unwrap().get(0).unwrap()).unwrap();
    let chosen = first.selection_records().unwrap();
    let lowest = chosen[0].indices[0];
    let label = i64::try_from(&data.train.labels.get(i64::from(lowest))).unwrap();
    let class = &data.classes[label as usize];
    let alt = format!(
        "alt=\"{}, image {lowest} of the training set, in 1 of 1 selections\"",
        class.replace('/', "&#x2f;")
    );
    assert!(html.contains(&alt), "{alt}");
    assert!(html.len() < 200_000, "{} bytes", html.len());
    let none = Options { without: vec![Section::Selections], ..Options::default() };
    study.report_with(&path, &none).unwrap();
    assert!(!read(&path).contains("What was chosen"));
}

#[test]
fn each_strategy_and_fraction_shows_what_it_chose_of_data_that_was_changed_too() {
    const NAME: &str = "each_strategy_and_fraction_shows_what_it_chose_of_data_that_was_changed_too";
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    let open = || Dataset::open_with(Kind::FashionMnist, &options);
    let Ok(data) = open() else { return skipped(NAME, "Fashion-MNIST is not in the cache") };
    let data = data.take(2000).unwrap().split(Split::default()).unwrap();
    let imbalance = ClassImbalance { classes: 0.3, keep: 0.5, seed: 3 };
    let data = data.with_class_imbalance(imbalance).unwrap();
    let data = data.with_label_noise(LabelNoise { rate: 0.5, ..LabelNoise::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs.db")).unwrap();
    let path = folder.path().join("report.html");
    let trained = |name: &str, data: &Splits, selects: &[Select]| {
        let study = Experiment::create_in(&store, name).unwrap();
        for select in selects {
            let trainer = Trainer::new(LogisticRegression::for_data(data)).epochs(2).batch_size(100);
            let is_kept = select.name() != "fixed-random";
            let trainer = trainer.select(select.select_every(1)).keep_selections(is_kept);
            trainer.fit(data, &study).unwrap();
        }
        study.report(&path).unwrap();
        (study, read(&path))
    };
    let random = [Select::fresh_random(0.01), Select::fixed_random(0.01), Select::full()];
    let selects = [&[Select::glister(0.05), Select::glister(0.01)], &random[..]].concat();
    let (study, html) = trained("changed", &data, &selects);
    let abouts: Vec<&str> =
        html.split("<h4><bdi>").skip(1).filter_map(|rest| rest.split("</bdi>").next()).collect();
    let of = |name: &str| format!("{name}\u{A0}%, 1 run, 2 selections");
    assert_eq!(abouts, [of("GLISTER 5"), of("GLISTER 1"), of("Fresh random 1")]);
    assert!(html.contains("One panel a strategy and fraction, all on the same scales."));
    assert!(html.contains("No selections were kept of Fixed random 1\u{A0}%."));
    for panel in ["GLISTER 5 %, 1 run", "GLISTER 1 %, 1 run", "Fresh random 1 %, 1 run"] {
        assert!(html.contains(&format!(">{panel}</text>")), "{panel}");
    }
    // Each picture has the label that the runs were told, and the true one where that was made wrong.
    let noise = data.noise.as_ref().unwrap();
    let class = |label: i64| data.classes[label as usize].replace('/', "&#x2f;");
    let alts: Vec<&str> = html.split(" alt=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(alts.len() >= 24, "{}", alts.len());
    let mut n_wrong = 0;
    for alt in &alts {
        let at: i64 = alt.split("image ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let told = class(i64::try_from(&data.train.labels.get(at)).unwrap());
        let truth = noise.flipped.binary_search(&at).ok().map(|flipped| class(noise.true_labels[flipped]));
        n_wrong += usize::from(truth.is_some());
        let truth = truth.map(|truth| format!(" (in truth {truth})")).unwrap_or_default();
        assert!(alt.starts_with(&format!("{told}{truth}, image {at} ")), "{alt}");
    }
    assert!(n_wrong > 4, "half of the labels are wrong: {n_wrong} of {}", alts.len());
    let some = Options { runs: vec!["fresh*".to_owned()], ..Options::default() };
    study.report_with(&path, &some).unwrap();
    assert_eq!(read(&path).matches("<h4>").count(), 1, "of the runs that are asked for");

    // Whoever changes data in another way is told why there are no pictures.
    let mut other = data;
    other.fingerprint = "0".repeat(64);
    let (_, html) = trained("other", &other, &selects[1..2]);
    assert!(html.contains("not enough to change it in the same way again") && !html.contains("<h4>"));
    other.name = "my-leaves".to_owned();
    let (_, html) = trained("own", &other, &selects[1..2]);
    assert!(html.contains("my-leaves is data of one&#x27;s own"), "own data");
}

#[test]
fn every_option_of_the_command_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("glisten.db");
    study(&Store::open(&store).unwrap(), "small", 0.0);
    let report = |words: &[&str]| {
        let output = glisten().arg("report").args(words).current_dir(folder.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code())
    };
    std::fs::write(folder.path().join("notes.md"), "# Why\n\n<b>It</b> *matters*.").unwrap();
    std::fs::create_dir(folder.path().join("house")).unwrap();
    std::fs::write(folder.path().join("house/answer.html"), "<p class=\"house\">{{ headline }}</p>").unwrap();
    let (text, errors, code) = report(&[
        "small",
        "-o",
        "small.html",
        "--title",
        "Ours",
        "--author",
        "Me",
        "--run",
        "glister*",
        "--run",
        "full*",
        "--baseline",
        "full seed 0",
        "--theme",
        "dark",
        "--without",
        "method,comparison",
        "--notes",
        "notes.md",
        "--templates",
        "house",
        "--charts",
        "figures",
        "--json",
        "figures.json",
        "--data",
        "numbers",
    ]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        text.contains("The evidence is weak: random subsets of the same size were not trained"),
        "{text}"
    );
    let html = read(&folder.path().join("small.html"));
    for (what, expected) in [
        ("<h1>Ours</h1>", true),
        ("<bdi>Me</bdi>", true),
        ("data-theme=\"dark\"", true),
        ("<h3>Why</h3>", true),
        ("&lt;b&gt;It&lt;/b&gt; <em>matters</em>", true),
        ("<p class=\"house\">", true),
        ("Points beside the baseline", true),
        ("fresh-random seed 0", false),
        ("How each figure was measured", false),
        ("<h2>Choosing beside fresh random</h2>", false),
    ] {
        assert_eq!(html.contains(what), expected, "{what}");
    }
    let figures: serde_json::Value =
        serde_json::from_str(&read(&folder.path().join("figures.json"))).unwrap();
    assert_eq!((&figures["experiment"], &figures["summary"]["n_runs"]), (&"small".into(), &4.into()));
    assert!(text.contains("data: 4 runs, 44 values of metrics: numbers/runs.parquet"), "{text}");
    assert!(html.contains("in the folder <bdi class=\"file\">numbers</bdi>, as Parquet"));
    let chart = read(&folder.path().join("figures/accuracy-versus-time.svg"));
    assert!(chart.starts_with("<svg") && chart.contains("Pareto front"));

    let (_, _, code) = report(&["small", "-o", "again.html", "--title", "Ours"]);
    let (_, _, again) = report(&["small", "-o", "same.html", "--title", "Ours"]);
    assert_eq!((code, again), (Some(0), Some(0)));
    assert_eq!(
        read(&folder.path().join("again.html")),
        read(&folder.path().join("same.html")),
        "byte by byte"
    );
    for (words, expected) in [
        (&["small", "--without", "charst"][..], "there is no section `charst`; there are: notes, strategies"),
        (&["small", "--theme", "drak"], "there is no theme `drak`"),
        (&["small", "--run", "fll seed 1"], "no run is called `fll seed 1`; there are: `full seed 1`"),
        (&["small", "--notes", "none.md"], "none.md"),
        (&["small", "--templates", "none"], "none could not be read"),
        (&["smal"], "small"),
    ] {
        let (_, errors, code) = report(words);
        assert!(code != Some(0) && errors.contains(expected), "{words:?}: {errors}");
    }
}

#[test]
fn a_browser_prints_it_and_its_charts_are_saved() {
    const NAME: &str = "a_browser_prints_it_and_its_charts_are_saved";
    if std::env::var_os("GLISTEN_CHROMIUM").is_none() {
        return skipped(NAME, "no Chromium here, and none could be installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("glisten.db")).unwrap();
    let study = study(&store, "small", 0.0);
    let words = ["report", "small", "-o", "small.html", "--pdf", "--charts", "figures", "--png"];
    let output = glisten().args(words).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pdf = std::fs::read(folder.path().join("small.pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000, "{} bytes", pdf.len());
    let size = |path: &Path| {
        let reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()))
            .read_info()
            .unwrap();
        (reader.info().width, reader.info().height)
    };
    assert_eq!(
        size(&folder.path().join("figures/accuracy-versus-fraction.png")),
        (960, 680),
        "two pixels a unit"
    );
    let own = folder.path().join("own.PNG");
    study.chart("validation:accuracy").unwrap().save(&own).unwrap();
    assert_eq!(size(&own), (1920, 860));
    let html = std::fs::read_to_string(folder.path().join("small.html")).unwrap();
    for chart in [study.tradeoff_chart().unwrap(), study.time_chart().unwrap()] {
        assert!(
            html.contains(chart.svg()),
            "the notebook shows what the report does: {}",
            chart.description()
        );
    }
    let charts = study.charts(&Options::default()).unwrap();
    assert_eq!(charts.len(), html.matches("<svg").count());
    assert!(charts.iter().all(|(_, chart)| html.contains(chart.svg())));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".tmp")), "{left:?}");
    // A browser that is none: said, and nothing half written.
    let output = glisten()
        .args(["report", "small", "-o", "small.html", "--pdf=other.pdf"])
        .env("GLISTEN_CHROMIUM", "/bin/false")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("/bin/false to write it"), "{errors}");
    assert!(!folder.path().join("other.pdf").exists());
}
