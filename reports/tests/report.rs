//! The report from the outside: figures against numbers worked out by hand, hostile and broken input, the page.

use glisten_reports::summary::{Outcome, Row, Summary, summarize, summary_table};
use glisten_reports::{Error, Options, chart, render, write};
use polars::prelude::*;

type Cell = (&'static str, f64, i64, f64, f64, f64);

/// (strategy, fraction, seed, test accuracy, seconds of training an epoch, seconds of choosing an epoch)
const CELLS: [Cell; 9] = [
    ("full", 1.0, 0, 0.90, 10.0, 0.0),
    ("full", 1.0, 1, 0.91, 12.0, 0.0),
    ("full", 1.0, 2, 0.92, 11.0, 0.0),
    ("glister", 0.3, 0, 0.89, 3.0, 1.0),
    ("glister", 0.3, 1, 0.90, 3.0, 1.0),
    ("glister", 0.3, 2, 0.91, 3.0, 1.0),
    ("fresh-random", 0.3, 0, 0.87, 3.0, 0.0),
    ("fresh-random", 0.3, 1, 0.88, 3.0, 0.0),
    ("fresh-random", 0.3, 2, 0.89, 3.0, 0.0),
];

fn runs(cells: &[Cell]) -> DataFrame {
    let column = |value: fn(&Cell) -> f64| cells.iter().map(value).collect::<Vec<f64>>();
    let n = cells.len();
    df!(
        "run" => cells.iter().map(|c| format!("{}-{}-{}", c.0, c.1, c.2)).collect::<Vec<_>>(),
        "experiment" => vec!["study"; n],
        "status" => vec!["completed"; n],
        "strategy" => cells.iter().map(|c| c.0).collect::<Vec<_>>(),
        "fraction" => column(|c| c.1),
        "seed" => cells.iter().map(|c| c.2).collect::<Vec<_>>(),
        "dataset" => vec!["Fashion-MNIST"; n],
        "model" => vec!["lenet"; n],
        "epochs" => vec![2_i64; n],
        "test:accuracy.last" => column(|c| c.3),
        "validation:accuracy.max" => column(|c| c.3 + 0.01),
        "epoch:seconds.avg" => column(|c| c.4),
        "epoch:seconds.count" => vec![2_u64; n],
        "selection:seconds.avg" => column(|c| c.5),
        "selection:seconds.count" => vec![2_u64; n],
        "run:seconds.last" => column(|c| 2.0 * (c.4 + c.5) + 5.0),
    )
    .unwrap()
}

fn metrics(cells: &[Cell]) -> DataFrame {
    let rows: Vec<(String, i64, f64)> = cells
        .iter()
        .flat_map(|c| {
            (1..=2).map(move |step| (format!("{}-{}-{}", c.0, c.1, c.2), step, c.3 * step as f64 / 2.0))
        })
        .collect();
    df!(
        "run" => rows.iter().map(|row| row.0.clone()).collect::<Vec<_>>(),
        "metric" => vec!["validation:accuracy"; rows.len()],
        "step" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
        "value" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
    )
    .unwrap()
}

fn page(cells: &[Cell]) -> String {
    render(&runs(cells), &metrics(cells), &Options::default()).unwrap()
}

fn row<'a>(summary: &'a Summary, strategy: &str, fraction: f64) -> &'a Row {
    summary.settings[0].row(strategy, fraction).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found}, not {expected}");
}

/// The text of a page without its script and tags, and with ordinary spaces.
fn words(html: &str) -> String {
    let html = html.split("<script>").next().unwrap_or_default();
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            '\u{A0}' => text.push(' '),
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text
}

/// [`runs`] with a status and the mark of divergence for each.
fn runs_with(cells: &[Cell], status: &[&str], diverged: &[Option<&str>]) -> DataFrame {
    let mut table = runs(cells);
    table.with_column(Column::new("status".into(), status)).unwrap();
    table.with_column(Column::new("tags.diverged".into(), diverged)).unwrap();
    table
}

#[test]
fn runs_that_diverged_count_as_the_worst_and_other_failed_ones_do_not() {
    let mut status = ["completed"; 9];
    let mut diverged = [None; 9];
    (status[4], diverged[4]) = ("failed", Some("3")); // GLISTER's second seed diverged,
    status[8] = "failed"; // and fresh random's third was killed.
    let summary = summarize(&runs_with(&CELLS, &status, &diverged)).unwrap();
    let glister = row(&summary, "glister", 0.3);
    close(glister.accuracy.unwrap().mean, (0.89 + 0.0 + 0.91) / 3.0);
    assert_eq!((glister.n_runs, glister.n_diverged, glister.n_seeds), (3, 1, 3));
    // It ended early: its time is nobody's speed.
    close(glister.speedup.unwrap().mean, (2.5 + 2.75) / 2.0);
    close(glister.training_seconds.unwrap(), 6.0);
    assert_eq!(glister.n_without_selection_seconds, 0);
    close(row(&summary, "fresh-random", 0.3).accuracy.unwrap().mean, (0.87 + 0.88) / 2.0);
    assert_eq!(
        (summary.n_completed, summary.diverged.as_slice()),
        (7, ["glister-0.3-1".to_owned()].as_slice())
    );
    let caveats = summary.caveats.join("\n");
    assert!(caveats.contains("1 run is not completed (1 failed), and not in the figures."), "{caveats}");
    assert!(
        caveats.contains("1 run diverged (glister-0.3-1): it counts with a test accuracy of 0"),
        "{caveats}"
    );

    // The mark alone is none: the run was taken up again, and completed.
    let again = summarize(&runs_with(&CELLS, &["completed"; 9], &diverged)).unwrap();
    assert_eq!(again, summarize(&runs(&CELLS)).unwrap());
}

#[test]
fn a_diverged_run_that_was_done_again_no_longer_counts() {
    let mut cells = CELLS.to_vec();
    cells.push(("glister", 0.3, 1, 0.5, 1.0, 0.0));
    let mut status = ["completed"; 10];
    let mut diverged = [None; 10];
    (status[9], diverged[9]) = ("failed", Some("1"));
    let table = runs_with(&cells, &status, &diverged);
    let summary = summarize(&table).unwrap();
    close(row(&summary, "glister", 0.3).accuracy.unwrap().mean, 0.90);
    assert!(summary.diverged.is_empty());
    // With other settings it is another training, and counts.
    let mut rates = [0.05; 10];
    rates[9] = 0.5;
    let mut table = table.clone();
    table.with_column(Column::new("learning_rate".into(), rates)).unwrap();
    let summary = summarize(&table).unwrap();
    assert_eq!((summary.settings.len(), summary.diverged.len()), (2, 1));
    close(summary.settings[1].rows[0].accuracy.unwrap().mean, 0.0);
}

#[test]
fn figures_agree_with_a_hand_calculation() {
    let summary = summarize(&runs(&CELLS)).unwrap();
    let glister = row(&summary, "glister", 0.3);
    let accuracy = glister.accuracy.unwrap();
    close(accuracy.mean, 0.90);
    // s = 0.01 over 3 seeds: 4.302652730 × 0.01 / √3
    close(accuracy.half_width.unwrap(), 0.024_841_38);
    // 0.91 − 0.90, in points; Welch with equal variances: 4 degrees of freedom, 2.776445105 × √(2 × 1e-4 / 3) × 100
    let lost = glister.accuracy_lost.unwrap();
    close(lost.mean, 1.0);
    close(lost.half_width.unwrap(), 2.266_958);
    close(glister.accuracy_kept.unwrap(), 0.90 / 0.91);
    // Same seed: 20/8, 24/8, 22/8; whole time: 25/13, 29/13, 27/13.
    close(glister.speedup.unwrap().mean, (2.5 + 3.0 + 2.75) / 3.0);
    close(glister.wall_ratio.unwrap().mean, 27.0 / 13.0);
    close(glister.training_seconds.unwrap(), 6.0);
    close(glister.selection_seconds.unwrap(), 2.0);
    assert_eq!((glister.n_runs, glister.n_seeds, glister.n_without_same_seed), (3, 3, 0));
    close(row(&summary, "fresh-random", 0.3).speedup.unwrap().mean, (10.0 + 12.0 + 11.0) / 9.0);
    let comparison = &summary.settings[0].comparisons[0];
    close(comparison.difference.unwrap().mean, 2.0);
    // 2.0 points, half width 2.27: no difference is shown.
    assert_eq!(comparison.outcome, Outcome::NoDifferenceShown);
    assert_eq!(summary_table(&summary).unwrap().height(), 3);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["settings"][0]["comparisons"][0]["outcome"], "no-difference-shown");
}

#[test]
fn the_first_sentence_is_the_answer() {
    let summary = summarize(&runs(&CELLS)).unwrap();
    assert_eq!(
        summary.headline,
        "The evidence is weak: the intervals overlap, so that choosing beats chance is not shown (+2.00 ± 2.27 points). So far, \
         30 % of the data, chosen by GLISTER, kept 98.9 % of the accuracy (0.900 ± 0.025 against 0.910 ± 0.025) and \
         trained 2.8 × faster; fresh random subsets of the same size kept 96.7 %."
    );
    let text = words(&page(&CELLS));
    assert!(
        text.contains("trained 2.8 × faster")
            && text.contains("GLISTER does not win against fresh random at 30 %")
    );
}

#[test]
fn a_clear_win_and_a_clear_loss_are_named() {
    let shifted = |by: f64| -> Vec<Cell> {
        let shift = |c: &Cell| if c.0 == "fresh-random" { (c.0, c.1, c.2, c.3 + by, c.4, c.5) } else { *c };
        CELLS.iter().map(shift).collect()
    };
    let won = summarize(&runs(&shifted(-0.02))).unwrap();
    assert_eq!(won.settings[0].comparisons[0].outcome, Outcome::ChoosingBetter);
    assert!(won.caveats.is_empty() && won.headline.contains("Choosing helped"), "{won:?}");
    let lost = summarize(&runs(&shifted(0.06))).unwrap();
    assert_eq!(lost.settings[0].comparisons[0].outcome, Outcome::RandomBetter);
    assert_eq!(lost.caveats, ["GLISTER did worse than fresh random at 30 %."]);
}

/// Three seeds of a strategy around a mean, a thousandth apart.
fn three(strategy: &'static str, fraction: f64, accuracy: f64) -> [Cell; 3] {
    [0, 1, 2].map(|seed| (strategy, fraction, seed, accuracy + 0.001 * (seed - 1) as f64, 3.0, 1.0))
}

#[test]
fn every_strategy_that_chooses_is_compared_with_fresh_random() {
    let cells = [
        &CELLS[..3],
        &three("fresh-random", 0.3, 0.880),
        &three("fixed-random", 0.3, 0.870),
        &three("auto", 0.3, 0.880),
        &three("weighted-draw", 0.3, 0.890),
        &three("glister", 0.3, 0.860),
        &three("mine", 0.3, 0.8801),
        &three("infobatch", 0.1, 0.850),
    ]
    .concat();
    let summary = summarize(&runs(&cells)).unwrap();
    let found: Vec<_> = summary.settings[0]
        .comparisons
        .iter()
        .map(|one| (one.strategy.as_str(), one.fraction, one.outcome))
        .collect();
    assert_eq!(
        found,
        [
            ("glister", 0.3, Outcome::RandomBetter),
            ("auto", 0.3, Outcome::NoDifferenceShown),
            ("weighted-draw", 0.3, Outcome::ChoosingBetter),
            ("infobatch", 0.1, Outcome::RandomMissing),
            ("mine", 0.3, Outcome::NoDifferenceShown),
        ]
    );
    let won = &summary.settings[0].comparisons[2];
    // 0.890 − 0.880, in points; Welch: 2.776445105 × √(2 × 1e-6 / 3) × 100. Speedup as of GLISTER above: 8 s a run.
    close(won.difference.unwrap().mean, 1.0);
    close(won.difference.unwrap().half_width.unwrap(), 0.226_696);
    close(won.chosen.unwrap().mean, 0.890);
    close(won.chosen_speedup.unwrap().mean, (2.5 + 3.0 + 2.75) / 3.0);
    assert!(
        summary.headline.contains("30 % of the data, chosen by auto, kept 96.7 %"),
        "{}",
        summary.headline
    );
    assert_eq!(
        summary.others.as_deref().unwrap(),
        "With 30 % of the data, the strategies that choose reached, best first: weighted draw 0.890 ± 0.002, mine 0.880 ± 0.002, \
         auto 0.880 ± 0.002 and GLISTER 0.860 ± 0.002; only weighted draw is shown to beat fresh random."
    );
    for sentence in [
        "Fresh random subsets are missing at 10 %: whether what InfoBatch chose is better than chance is not shown there.",
        "GLISTER did worse than fresh random at 30 %.",
        "auto and mine do not win against fresh random at 30 %: the 95 % interval of the difference holds zero.",
        "Of so many comparisons with fresh random (4), some may look won by chance: each interval is for one \
         comparison, and is not widened for their number.",
    ] {
        assert!(
            summary.caveats.iter().any(|caveat| caveat == sentence),
            "{sentence}: {:#?}",
            summary.caveats
        );
    }
    let html = page(&cells);
    let table = &html[html.find("<h2>Choosing beside fresh random").unwrap()..];
    let table = &table[..table.find("</table>").unwrap()];
    assert_eq!(table.matches("<tr><th scope=\"row\"").count(), 5);
    assert!(
        table.contains("<th scope=\"row\" class=\"key weighted-draw\"><bdi>Weighted draw</bdi></th>"),
        "{table}"
    );
    assert!(table.contains("Weighted draw is better"));
    let text = words(&html);
    assert!(text.contains("best first: weighted draw 0.890") && text.contains("auto and mine do not win"));
}

#[test]
fn the_first_sentence_is_of_auto_else_of_glister_else_of_the_best_that_chooses() {
    let base = [&CELLS[..3], &three("fresh-random", 0.3, 0.880), &three("fresh-random", 0.5, 0.890)].concat();
    let headline = |more: &[[Cell; 3]]| {
        let summary = summarize(&runs(&[&base[..], &more.concat()].concat())).unwrap();
        (summary.headline, summary.others)
    };
    let (auto, glister) = (three("auto", 0.3, 0.870), three("glister", 0.3, 0.880));
    let (best, second) = (three("infobatch", 0.3, 0.896), three("grad-match", 0.3, 0.893));
    let (of_auto, beside_auto) = headline(&[best, glister, auto]);
    assert!(of_auto.contains("30 % of the data, chosen by auto, kept 95.6 %"), "{of_auto}");
    assert!(
        of_auto.ends_with(
            "Choosing did not help here: auto is −1.00 ± 0.23 points from random, on the wrong side."
        ),
        "{of_auto}"
    );
    assert!(beside_auto.unwrap().ends_with("; only InfoBatch is shown to beat fresh random."));
    let (of_glister, _) = headline(&[best, glister]);
    assert!(of_glister.contains("30 % of the data, chosen by GLISTER,"), "{of_glister}");
    let (of_best, beside_best) = headline(&[second, best]);
    assert!(of_best.starts_with("30 % of the data, chosen by InfoBatch,"), "{of_best}");
    assert!(
        of_best.ends_with("Choosing helped: +1.60 ± 0.23 points over random, more than chance explains.")
    );
    assert!(beside_best.unwrap().ends_with("; each of them is shown to beat fresh random."));
    // One strategy alone, with whatever name, is compared too, and nothing is set beside it.
    let (of_one, beside_one) = headline(&[three("mine", 0.5, 0.8901)]);
    assert!(
        of_one.starts_with(
            "The evidence is weak: the intervals overlap, so that choosing beats chance is not shown (+0.01 ± 0.23 points). So \
             far, 50 % of the data, chosen by mine,"
        ),
        "{of_one}"
    );
    assert_eq!(beside_one, None);
    let (of_random, beside_random) = headline(&[]);
    assert!(of_random.contains("drawn afresh at random") && beside_random.is_none(), "{of_random}");
}

#[test]
fn one_seed_gives_no_interval_and_says_so() {
    let cells = [CELLS[0], CELLS[3], CELLS[6]];
    let summary = summarize(&runs(&cells)).unwrap();
    assert_eq!(row(&summary, "glister", 0.3).accuracy_lost.unwrap().half_width, None);
    assert_eq!(summary.settings[0].comparisons[0].outcome, Outcome::TooFewSeeds);
    assert!(summary.caveats.iter().any(|sentence| sentence.contains("one seed")), "{:?}", summary.caveats);
    assert!(
        summary
            .headline
            .starts_with("The evidence is weak: each figure is from one seed. So far, 30 % of the data")
    );
    assert!(!summary.headline.contains('±'));
    let html = page(&cells);
    assert!(!words(&html).contains("NaN"));
}

#[test]
fn a_missing_baseline_is_said() {
    let no_random = words(&page(&CELLS[..6]));
    assert!(no_random.contains("Fresh random subsets are missing at 30 %"));
    assert!(no_random.contains("Fresh random is missing"));
    let no_full = words(&page(&CELLS[3..]));
    assert!(no_full.contains("There is no completed full-data run"));
    assert!(no_full.contains("No completed subset run has a speedup"));
    let only_full = words(&page(&CELLS[..3]));
    assert!(only_full.contains("no subset was trained"));
}

#[test]
fn a_run_without_its_seed_among_full_runs_is_measured_against_their_mean() {
    let mut cells = CELLS[..4].to_vec();
    cells[3].2 = 77;
    let summary = summarize(&runs(&cells)).unwrap();
    let glister = row(&summary, "glister", 0.3);
    close(glister.speedup.unwrap().mean, 22.0 / 8.0);
    assert_eq!(glister.n_without_same_seed, 1);
    assert!(summary.caveats.iter().any(|sentence| sentence.contains("mean of the full-data runs")));
}

#[test]
fn runs_that_share_a_seed_are_one_piece_of_evidence() {
    let mut cells = CELLS.to_vec();
    cells.push(("glister", 0.3, 0, 0.91, 3.0, 1.0));
    let summary = summarize(&runs(&cells)).unwrap();
    let glister = row(&summary, "glister", 0.3);
    assert_eq!((glister.n_runs, glister.n_seeds, glister.accuracy.unwrap().n), (4, 3, 3));
    close(glister.accuracy.unwrap().mean, 0.90 + 0.01 / 3.0);
    assert!(summary.caveats.iter().any(|sentence| sentence.contains("share a seed")));
}

#[test]
fn without_the_time_of_choosing_there_is_no_speedup() {
    let mut table = runs(&CELLS);
    table = table.drop("selection:seconds.avg").unwrap();
    let summary = summarize(&table).unwrap();
    assert_eq!(row(&summary, "glister", 0.3).speedup, None);
    assert!(summary.headline.contains("how much faster it trained is not known"));
    assert!(summary.caveats.iter().any(|sentence| sentence.contains("time of choosing was not recorded")));
}

#[test]
fn only_completed_runs_enter_and_others_are_counted() {
    let mut table = runs(&CELLS);
    let status: Vec<&str> = (0..9).map(|i| if i == 3 { "failed" } else { "completed" }).collect();
    table.with_column(Column::new("status".into(), status)).unwrap();
    let summary = summarize(&table).unwrap();
    assert_eq!((summary.n_runs, summary.n_completed), (9, 8));
    assert_eq!(row(&summary, "glister", 0.3).n_seeds, 2);
    assert!(summary.caveats[0].contains("1 run is not completed (1 failed)"));
}

#[test]
fn unlike_runs_are_not_compared() {
    let mut table = runs(&CELLS);
    let epochs: Vec<i64> = (0..9).map(|i| if i < 3 { 40 } else { 2 }).collect();
    table.with_column(Column::new("epochs".into(), epochs)).unwrap();
    let summary = summarize(&table).unwrap();
    assert_eq!(summary.settings.len(), 2);
    assert!(summary.settings.iter().all(|setting| setting.rows.iter().all(|row| row.speedup.is_none())));
    assert!(summary.caveats.iter().any(|sentence| sentence.contains("only like is compared with like")));
    render(&table, &metrics(&CELLS), &Options::default()).unwrap();
}

#[test]
fn every_column_may_be_missing_null_or_of_another_number_type() {
    let whole = runs(&CELLS);
    let empty = DataFrame::empty();
    for name in whole.get_column_names() {
        let without = whole.drop(name).unwrap();
        render(&without, &metrics(&CELLS), &Options::default()).unwrap();
        let mut null = whole.clone();
        null.with_column(Column::full_null(name.clone(), 9, &DataType::Null)).unwrap();
        render(&null, &metrics(&CELLS), &Options::default()).unwrap();
    }
    let mut other = whole.clone();
    for (name, dtype) in [
        ("fraction", DataType::Float32),
        ("seed", DataType::UInt32),
        ("epochs", DataType::Float64),
        ("run", DataType::String),
    ] {
        let cast = whole.column(name).unwrap().cast(&dtype).unwrap();
        other.with_column(cast).unwrap();
    }
    assert_eq!(summarize(&other).unwrap().headline, summarize(&whole).unwrap().headline);
    for (runs, metrics) in
        [(&empty, &empty), (&whole, &empty), (&empty, &metrics(&CELLS)), (&whole.head(Some(0)), &empty)]
    {
        let html = render(runs, metrics, &Options::default()).unwrap();
        assert!(html.ends_with("</html>") || html.ends_with("</html>\n"));
    }
    assert!(words(&render(&empty, &empty, &Options::default()).unwrap()).contains("There are no runs"));
}

#[test]
fn a_column_of_the_wrong_kind_is_named() {
    let mut table = runs(&CELLS);
    table.with_column(Column::new("fraction".into(), vec!["a third"; 9])).unwrap();
    let error = summarize(&table).unwrap_err();
    assert!(matches!(&error, Error::Column { column, .. } if column == "fraction"));
    assert!(error.to_string().contains("expected numbers, found String"), "{error}");
    let no_value = metrics(&CELLS).drop("value").unwrap();
    let error = chart::metric_per_step(&no_value, "validation:accuracy").unwrap_err();
    assert!(error.to_string().contains("no column `value`"), "{error}");
}

#[test]
fn hostile_names_do_no_harm() {
    let hostile = [
        "<script>alert(1)</script>",
        "</style><img src=x onerror=alert(1)>",
        "\" onload=\"alert(1)",
        "'; --",
        "\u{202E}gnp.exe\u{0}\u{1b}[31m",
        "]]> & {{ 7 * 7 }} {% raw %}",
    ];
    let long = "m".repeat(10_000);
    for name in hostile.iter().copied().chain([long.as_str()]) {
        let mut table = runs(&CELLS);
        let mut series = metrics(&CELLS);
        for column in ["experiment", "dataset", "model"] {
            table.with_column(Column::new(column.into(), vec![name; 9])).unwrap();
        }
        let names: Vec<String> = (0..9).map(|i| format!("{name}{i}")).collect();
        table.with_column(Column::new("run".into(), names.clone())).unwrap();
        let strategies: Vec<String> =
            (0..9).map(|i| if i < 3 { "full".to_owned() } else { format!("{name}{}", i / 3) }).collect();
        table.with_column(Column::new("strategy".into(), strategies)).unwrap();
        let of_series: Vec<String> = (0..18).map(|i| names[i / 2].clone()).collect();
        series.with_column(Column::new("run".into(), of_series)).unwrap();
        let options = Options {
            title: Some(name.to_owned()),
            author: Some(name.to_owned()),
            written_at: Some(name.to_owned()),
            how_made: vec![name.to_owned()],
            notes: Some(name.to_owned()),
            ..Options::default()
        };
        let html = render(&table, &series, &options).unwrap();
        assert_eq!(html.matches("<script").count(), 1, "the page's own");
        assert_eq!(html.matches("<img").count(), 0);
        assert_eq!(
            html.matches("</style>").count(),
            html.matches("<svg").count() + 1,
            "the page's and one a chart"
        );
        let tags = html.split('<').skip(1).filter_map(|rest| rest.split('>').next());
        assert!(tags.into_iter().all(|tag| !tag.contains(" onload=\"") && !tag.contains("onerror")));
        assert!(!html.contains(['\u{202E}', '\u{0}', '\u{1b}']));
        assert!(html.len() < 150_000, "{} bytes", html.len());
        let svg = chart::metric_per_step(&series, "validation:accuracy").unwrap();
        assert!(!svg.as_str().contains("<script") && !svg.as_str().contains("<img"));
        chart::metric_per_step(&series, name).unwrap();
    }
}

#[test]
fn values_that_are_not_finite_are_left_out() {
    let series = df!(
        "run" => ["a", "a", "a", "b", "b"],
        "metric" => ["m"; 5],
        "step" => [1_i64, 2, 3, 1, 2],
        "value" => [0.5, f64::NAN, 0.7, f64::INFINITY, f64::NEG_INFINITY],
    )
    .unwrap();
    let svg = chart::metric_per_step(&series, "m").unwrap();
    assert!(!svg.as_str().contains("NaN") && !svg.as_str().contains("inf"));
    assert!(svg.description().contains("1 run"));
    let extreme = df!("run" => ["a", "a"], "metric" => ["m"; 2], "step" => [i64::MIN, i64::MAX], "value" => [f64::MAX, f64::MIN])
        .unwrap();
    chart::metric_per_step(&extreme, "m").unwrap();
    let mut cells = CELLS;
    cells[3].3 = f64::NAN;
    cells[4].4 = f64::INFINITY;
    cells[6].1 = f64::NAN;
    let summary = summarize(&runs(&cells)).unwrap();
    assert_eq!(row(&summary, "glister", 0.3).accuracy.unwrap().n, 2);
    assert!(!words(&page(&cells)).replace("fresh-random-NaN-0", "").contains("NaN"));
}

#[test]
fn charts_stand_on_their_own() {
    let (table, series) = (runs(&CELLS), metrics(&CELLS));
    let charts = [
        chart::accuracy_versus_fraction(&table).unwrap(),
        chart::speedup_versus_fraction(&table).unwrap(),
        chart::metric_per_step(&series, "validation:accuracy").unwrap(),
        chart::metric_per_step_by_strategy(&series, &table, "validation:accuracy").unwrap(),
    ];
    for svg in &charts {
        let text = svg.as_str();
        assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && text.ends_with("</svg>"));
        assert!(
            text.contains("role=\"img\"")
                && text.contains("viewBox")
                && text.contains("prefers-color-scheme")
        );
        assert_eq!(text, svg.to_string());
        assert!(!svg.title().is_empty() && !svg.description().is_empty());
    }
    assert!(
        charts[0].description().contains("GLISTER: 0.900 ± 0.025 at 30 %."),
        "{}",
        charts[0].description()
    );
    assert!(charts[1].description().contains("2.75 × ± 0.62 at 30 %"), "{}", charts[1].description());
    assert!(charts[3].as_str().contains(">GLISTER 30 %</text>"));
    let mut ids: Vec<&str> =
        charts.iter().filter_map(|svg| svg.as_str().split("<title id=\"").nth(1)).collect();
    ids.iter_mut().for_each(|id| *id = id.split('"').next().unwrap_or_default());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each chart has its own ids");
}

#[test]
fn the_page_is_closed_small_and_the_same_each_time() {
    let html = page(&CELLS);
    assert_eq!(html, page(&CELLS));
    assert!(html.contains("default-src 'none'; script-src 'sha256-"));
    assert!(html.contains("style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"));
    assert!(html.matches("<script").count() == 1 && !html.contains("<link rel=\"stylesheet"));
    // The only addresses are the SVG namespace, which nothing is loaded from.
    assert_eq!(
        html.matches("http").count(),
        html.matches("http://www.w3.org/2000/svg").count() + 1,
        "and http-equiv"
    );
    for heading in [
        "What each strategy reached",
        "Choosing beside fresh random",
        "All runs",
        "How each figure was measured",
    ] {
        assert!(html.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    assert!(html.len() < 150_000, "{} bytes", html.len());
    let table = &html[html.find("<table class=\"runs").unwrap()..];
    let best_first: Vec<usize> = ["full-1-2", "full-1-1", "glister-0.3-0"]
        .iter()
        .map(|name| table.find(&format!("<bdi>{name}")).unwrap())
        .collect();
    assert!(best_first.is_sorted());
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("glisten-reports-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("report.html");
    write(&path, "one").unwrap();
    write(&path, "two").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
    let error = write(&folder.join("missing/report.html"), "x").unwrap_err();
    assert!(error.to_string().contains("missing/report.html"), "{error}");
    assert!(matches!(write(&folder, "x"), Err(Error::Write { .. })));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn figures_in_print_are_met_or_missed_column_by_column_with_the_reason() {
    use glisten_reports::summary::{Published, beside_published};
    let published = |fraction, speedup, accuracy_lost| Published {
        source: "<i>a paper</i>".to_owned(),
        fraction,
        speedup,
        accuracy_lost,
    };
    // GLISTER at 0.3: 20, 24 and 22 s of full data ÷ 8 s of its own, 2.75 on average; 0.91 − 0.90, one point lost.
    let rows = [published(0.3, 2.5, 1.2), published(0.3, 3.0, 0.5), published(0.1, 6.0, 3.0)];
    let summary = summarize(&runs(&CELLS)).unwrap();
    let beside = beside_published(&summary.settings[0], &rows);
    let met: Vec<_> = beside.iter().map(|one| (one.faster, one.more_accurate)).collect();
    assert_eq!(met, [(Some(true), Some(true)), (Some(false), Some(false)), (None, None)]);
    assert_eq!(beside[0].why_not, "");
    // 1 s of 4 an epoch is choosing; 22 s ÷ 6 s is 3.67.
    let why = &beside[1].why_not;
    assert!(
        why.starts_with("choosing took 25 % of its time; choosing for nothing, it would be 3.67 ×; "),
        "{why}"
    );
    assert!(why.contains("fresh random subsets of the same size lost 3.00"), "{why}");
    assert!(beside[2].why_not.contains("not measured here"));
    let options = Options { published: rows.to_vec(), ..Default::default() };
    let page = render(&runs(&CELLS), &metrics(&CELLS), &options).unwrap();
    assert!(page.contains("GLISTER beside figures in print") && page.contains("better in both"));
    assert!(page.contains("&lt;i&gt;a paper") && !page.contains("<i>a paper"));
    assert!(
        !render(&runs(&CELLS), &metrics(&CELLS), &Options::default()).unwrap().contains("figures in print")
    );
}

#[test]
fn each_run_has_a_bar_of_its_time_unless_there_are_too_many() {
    let table = runs(&CELLS);
    let chart = chart::time_spent(&table).unwrap();
    let figures = chart.figures();
    assert_eq!(
        figures.columns,
        ["Run", "Strategy and fraction", "Training", "Choosing", "Evaluation and the rest", "Whole run"]
    );
    assert_eq!(figures.rows.len(), 9);
    // Two epochs of 12 s, none of choosing, 5 s of the rest; two of 3 s and 1 s.
    let expected = ["full-1-1", "Full data", "24.0 s", "0.00 s", "5.00 s", "29.0 s"];
    assert_eq!(figures.rows[1], expected);
    let expected = ["glister-0.3-2", "GLISTER 30 %", "6.00 s", "2.00 s", "5.00 s", "13.0 s"];
    assert_eq!(figures.rows[5], expected);
    assert!(chart.description().contains("Seconds of each run. full-1-0: 20.0 s training, 0.00 s choosing"));
    let label = |name: &str| chart.as_str().contains(&format!(">{name}</text>"));
    assert!(CELLS.iter().all(|cell| label(&format!("{}-{}-{}", cell.0, cell.1, cell.2))));
    // The longest bar is training's 24 s, then 5 s: its widths are as 24 to 5.
    let widths: Vec<f64> = chart
        .as_str()
        .split("<rect")
        .filter(|rect| rect.contains("class=\"f9\"") || rect.contains("class=\"f14\""))
        .filter_map(|rect| rect.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
        .filter(|width| *width != 14.0)
        .collect();
    assert_eq!(widths.len(), 18, "training and the rest of nine runs: {widths:?}");
    assert!((widths[2] / widths[3] - 24.0 / 5.0).abs() < 0.02, "{widths:?}");

    // 40 runs have a bar each; 41 do not, and the caption says where their numbers are.
    let seeds = |n: i64| -> DataFrame {
        let cells: Vec<Cell> = (0..n)
            .map(|i| {
                if i % 2 == 0 {
                    ("full", 1.0, i, 0.9, 10.0 + i as f64, 0.0)
                } else {
                    ("glister", 0.3, i, 0.8, 3.0, 1.0)
                }
            })
            .collect();
        runs(&cells)
    };
    let forty = chart::time_spent(&seeds(40)).unwrap();
    assert_eq!(forty.figures().rows.len(), 40);
    let ends = "The longest and the shortest: full-1-38: 96.0 s training, 0.00 s choosing, evaluation and the rest 5.00 s. \
                glister-0.3-";
    assert!(forty.description().contains(ends), "{}", forty.description());
    let many = chart::time_spent(&seeds(41)).unwrap();
    assert_eq!(many.figures().columns[0], "Strategy and fraction");
    // Full data of the seeds 0 to 40 by twos: 2 · (10 + 20) s of training.
    assert_eq!(many.figures().rows[0][..2], ["Full data", "60.0 s"]);
    let caption = |table: &DataFrame| {
        let html = render(table, &DataFrame::empty(), &Options::default()).unwrap();
        (
            html.contains("One bar a run."),
            html.contains("since there are more than 40 runs; the seconds of each run are"),
        )
    };
    assert_eq!([caption(&seeds(40)), caption(&seeds(41))], [(true, false), (false, true)]);
    // A run that failed, and one without its times, have no bar.
    let mut some = table.clone();
    let statuses: Vec<&str> = (0..9).map(|i| if i == 0 { "failed" } else { "completed" }).collect();
    some.with_column(Column::new("status".into(), statuses)).unwrap();
    let choosing: Vec<Option<f64>> = (0..9).map(|i| (i != 4).then_some(1.0)).collect();
    some.with_column(Column::new("selection:seconds.avg".into(), choosing)).unwrap();
    assert_eq!(chart::time_spent(&some).unwrap().figures().rows.len(), 7);
}
