//! Charts of any columns from the outside: what they say and show, and that no table brings them down.

use glisten_reports::chart::{parallel_coordinates, scatter};
use glisten_reports::{Error, Options, Svg, render};
use polars::prelude::*;

/// Six runs of two strategies; the last has no accuracy, the fifth an infinite one.
fn runs() -> DataFrame {
    let created: Vec<i64> = (0..6).map(|i| 1_700_000_000_000 + i * 600_000).collect();
    let created = Series::new("created".into(), created);
    let mut table = df!(
        "run" => ["a", "b", "c", "d", "e", "f"],
        "strategy" => ["full", "glister", "glister", "glister", "fresh-random", "fresh-random"],
        "fraction" => [1.0, 0.1, 0.3, 0.5, 0.1, 0.3],
        "learning_rate" => [1e-4, 1e-3, 1e-2, 1e-1, 1e-3, 1e-2],
        "batch_size" => [Some(32_i64), Some(64), None, Some(128), Some(32), Some(64)],
        "nesterov" => [true, true, false, false, true, false],
        "test:accuracy.last" => [Some(0.91), Some(0.85), Some(0.89), Some(0.90), Some(f64::INFINITY), None],
    )
    .unwrap();
    table
        .with_column(created.cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap().into())
        .unwrap();
    table
}

/// As `<circle …/>`.
fn n_of(svg: &Svg, element: &str) -> usize {
    svg.as_str().matches(&format!("<{element} ")).count()
}

#[track_caller]
fn is_sound(svg: &Svg) {
    let text = svg.as_str();
    assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && text.ends_with("</svg>"));
    assert!(text.contains("role=\"img\"") && text.contains("<title ") && text.contains("<desc "));
    assert!(!text.contains("NaN") && !text.contains("inf\"") && !text.contains("inf,"), "{text}");
    assert!(!svg.description().is_empty());
    // Saturated coordinates would lie here.
    assert!(!text.contains("214748364"), "{text}");
}

#[test]
fn a_scatter_says_what_it_shows() {
    let svg = scatter(&runs(), "fraction", "test:accuracy.last", None).unwrap();
    is_sound(&svg);
    assert_eq!(svg.title(), "test:accuracy.last against fraction");
    // Places 0.1, 0.3, 0.5, 1.0 and values 0.85, 0.89, 0.90, 0.91 rise together.
    assert_eq!(
        svg.description(),
        "test:accuracy.last against fraction of 4 runs. fraction: from 10 % to 100 %. test:accuracy.last: from 0.85 \
         to 0.91. The highest test:accuracy.last, 0.91, is at 100 %. Their rank correlation is 1.00. 2 runs are not \
         drawn for want of a finite value of one or the other."
    );
    assert_eq!(n_of(&svg, "circle"), 4);
    assert!(svg.as_str().contains(">40 %</text>"), "a fraction is read in per cent");
}

#[test]
fn a_scatter_is_coloured_by_categories_and_by_numbers() {
    let by_strategy = scatter(&runs(), "learning_rate", "fraction", Some("strategy")).unwrap();
    is_sound(&by_strategy);
    assert!(
        by_strategy
            .description()
            .contains("Coloured by strategy: Full data (1), GLISTER (3) and Fresh random (2)."),
        "{}",
        by_strategy.description()
    );
    for label in ["Full data", "GLISTER", "Fresh random"] {
        assert!(by_strategy.as_str().contains(&format!(">{label}</text>")), "{label}");
    }
    assert!(by_strategy.as_str().contains(">learning_rate (log scale)</text>"));
    for decade in ["0.0001", "0.001", "0.01", "0.1"] {
        assert!(by_strategy.as_str().contains(&format!(">{decade}</text>")), "{decade}");
    }
    let by_accuracy = scatter(&runs(), "created", "strategy", Some("test:accuracy.last")).unwrap();
    is_sound(&by_accuracy);
    let description = by_accuracy.description();
    assert!(description.contains("Coloured by test:accuracy.last, from 0.85 to 0.91."), "{description}");
    assert!(description.contains("created: from 14 Nov 2023 22:13 to 14 Nov 2023 23:03."), "{description}");
    assert!(by_accuracy.as_str().contains(">no test:accuracy.last</text>"));
    assert!(by_accuracy.as_str().contains(">created (UTC), 14 Nov 2023</text>"));
}

#[test]
fn parallel_coordinates_say_what_they_show_and_where_lines_have_gaps() {
    let columns = ["strategy", "learning_rate", "batch_size", "nesterov", "test:accuracy.last"];
    let svg = parallel_coordinates(&runs(), &columns, Some("test:accuracy.last")).unwrap();
    is_sound(&svg);
    assert_eq!(
        svg.description(),
        "6 runs over 5 axes. strategy: Full data, GLISTER and Fresh random. learning_rate: from 0.0001 to 0.1 on a \
         logarithmic scale. batch_size: from 32 to 128. nesterov: false and true. test:accuracy.last: from 0.85 to 0.91. \
         Coloured by test:accuracy.last, from 0.85 to 0.91. 1 run has no finite value of batch_size: a gap in the line. \
         2 runs have no finite value of test:accuracy.last: a gap in the line."
    );
    // Four whole lines or without their end (a, b, d, e, f: 5), and c in two pieces.
    let of_rows =
        svg.as_str().lines().filter(|line| line.starts_with("<polyline") && line.contains("opacity"));
    let of_rows = of_rows.filter(|line| !line.contains("opacity=\"0.40\"")).count();
    assert_eq!(of_rows, 7, "{}", svg.as_str());
    let plain = parallel_coordinates(&runs(), &columns, None).unwrap();
    assert!(!plain.description().contains("Coloured"));
}

#[test]
fn a_value_between_two_gaps_is_a_point() {
    let table = df!("a" => [None, Some(1.0)], "b" => [1.0, 2.0], "c" => [None, Some(3.0)]).unwrap();
    let svg = parallel_coordinates(&table, &["a", "b", "c"], None).unwrap();
    assert_eq!(n_of(&svg, "circle"), 1);
    assert!(svg.description().starts_with("2 rows over 3 axes."), "{}", svg.description());
}

#[test]
fn of_a_thousand_runs_an_even_choice_is_drawn_with_the_best_and_the_worst() {
    let n = 1000;
    let rates: Vec<f64> = (0..n).map(|i| 1e-5 * 1.01_f64.powi(i)).collect();
    let accuracies: Vec<f64> = (0..n).map(|i| 0.5 + 0.4 * f64::from((i * 389) % n) / f64::from(n)).collect();
    let names: Vec<String> = (0..n).map(|i| format!("run {i}")).collect();
    let table = df!("run" => names, "rate" => rates, "accuracy" => accuracies).unwrap();
    let svg = parallel_coordinates(&table, &["rate", "accuracy", "run"], Some("accuracy")).unwrap();
    is_sound(&svg);
    assert!(svg.description().ends_with("300 of them are drawn, chosen evenly."), "{}", svg.description());
    assert!(svg.description().contains("run: one of 1000 values."));
    let shades: Vec<usize> = svg
        .as_str()
        .lines()
        .filter_map(|line| line.strip_prefix("<polyline class=\"s")?.split('"').next()?.parse().ok())
        .filter(|shade| *shade >= 15)
        .collect();
    assert_eq!(shades.len(), 300);
    assert!(shades.is_sorted() && shades.first() == Some(&15) && shades.last() == Some(&22), "{shades:?}");
    assert!(svg.as_str().len() < 80_000, "{} bytes", svg.as_str().len());
    let points = scatter(&table, "rate", "accuracy", Some("run")).unwrap();
    is_sound(&points);
    assert_eq!(n_of(&points, "circle") + n_of(&points, "polygon"), n as usize + 8, "and the legend's");
    assert!(points.description().contains("993 others share a colour"), "{}", points.description());
}

#[test]
fn no_table_brings_a_chart_down() {
    let columns = ["x", "y", "colour"];
    let empty =
        df!("x" => Vec::<f64>::new(), "y" => Vec::<&str>::new(), "colour" => Vec::<i64>::new()).unwrap();
    let one = df!("x" => [0.5], "y" => ["only"], "colour" => [3_i64]).unwrap();
    let constant = df!("x" => [2.0; 5], "y" => [0_i64; 5], "colour" => ["same"; 5]).unwrap();
    let not_finite =
        df!("x" => [f64::NAN; 3], "y" => [f64::INFINITY, f64::NEG_INFINITY, 1.0], "colour" => [f64::NAN; 3])
            .unwrap();
    let extreme = df!(
        "x" => [f64::MAX, f64::MIN, 0.0, 1e299, -1e299],
        "y" => [f64::MIN_POSITIVE, 5e-324, 1.0, 1e200, 1e299],
        "colour" => [i64::MIN, i64::MAX, 0, 1, -1],
    )
    .unwrap();
    let null = df!("x" => [None::<f64>; 2], "y" => [None::<&str>; 2], "colour" => [None::<i64>; 2]).unwrap();
    let mut untyped = one.clone();
    for column in columns {
        untyped.with_column(Column::full_null(column.into(), 1, &DataType::Null)).unwrap();
    }
    for (name, table) in [
        ("empty", &empty),
        ("one", &one),
        ("constant", &constant),
        ("not finite", &not_finite),
        ("extreme", &extreme),
        ("null", &null),
        ("untyped", &untyped),
    ] {
        for (x, y) in [("x", "y"), ("y", "x"), ("colour", "x"), ("x", "x")] {
            for colour in [None, Some("colour"), Some("x"), Some("y")] {
                let svg = scatter(table, x, y, colour).unwrap_or_else(|error| panic!("{name}: {error}"));
                is_sound(&svg);
            }
        }
        for columns in [&columns[..], &[], &["x"], &["x", "x"], &["y"; 40]] {
            is_sound(&parallel_coordinates(table, columns, columns.first().copied()).unwrap());
            is_sound(&parallel_coordinates(table, columns, None).unwrap());
        }
    }
    let said = scatter(&not_finite, "x", "y", None).unwrap();
    assert_eq!(said.description(), "No row has a finite value of both x and y.");
    assert!(
        parallel_coordinates(&constant, &["x"], None).unwrap().description().contains("x: 2 throughout.")
    );
}

#[test]
fn a_column_that_is_missing_or_cannot_be_drawn_is_named() {
    let error = scatter(&runs(), "fraction", "test:acuracy.last", None).unwrap_err();
    assert!(matches!(&error, Error::MissingColumn { column, .. } if column == "test:acuracy.last"));
    let message = error.to_string();
    assert!(message.contains("no column `test:acuracy.last`; it has `test:accuracy.last`, "), "{message}");
    let error = parallel_coordinates(&runs(), &["fraction"], Some("stratgy")).unwrap_err().to_string();
    assert!(error.contains("no column `stratgy`; it has `strategy`, "), "{error}");
    let mut lists = df!("x" => [1.0, 2.0]).unwrap();
    let inner = Series::new("".into(), [1.0]);
    lists.with_column(Series::new("l".into(), [inner.clone(), inner]).into()).unwrap();
    let error = scatter(&lists, "x", "l", None).unwrap_err();
    assert!(matches!(&error, Error::Column { column, .. } if column == "l"), "{error}");
}

#[test]
fn hostile_names_and_values_do_no_harm() {
    let long = "m".repeat(10_000);
    for hostile in [
        "<script>alert(1)</script>",
        "</style><img src=x onerror=alert(1)>",
        "\" onload=\"alert(1)",
        "\u{202E}gnp.exe\u{0}\u{1b}[31m",
        "]]> & {{ 7 * 7 }}",
        &long,
    ] {
        let names: Vec<String> = (0..20).map(|i| format!("{hostile}{i}")).collect();
        let numbers: Vec<f64> = (0..20).map(f64::from).collect();
        let columns = vec![
            Series::new(hostile.into(), names.clone()).into(),
            Series::new("n".into(), numbers.clone()).into(),
            Series::new(format!("{hostile}2").as_str().into(), numbers).into(),
        ];
        let table = DataFrame::new(20, columns).unwrap();
        let second = format!("{hostile}2");
        let charts = [
            scatter(&table, hostile, &second, Some(hostile)).unwrap(),
            scatter(&table, &second, hostile, Some(&second)).unwrap(),
            parallel_coordinates(&table, &[hostile, "n", &second], Some(hostile)).unwrap(),
            parallel_coordinates(&table, &[hostile, "n", &second], Some(&second)).unwrap(),
        ];
        for svg in charts {
            is_sound(&svg);
            let text = svg.as_str();
            assert!(
                !text.contains("<script") && !text.contains("<img") && !text.contains(" onload=\""),
                "{text}"
            );
            assert_eq!(text.matches("</style>").count(), 1);
            assert!(!text.contains(['\u{202E}', '\u{0}', '\u{1b}']));
            assert!(text.len() < 40_000, "{} bytes", text.len());
        }
    }
}

#[test]
fn the_report_draws_what_the_runs_differ_in() {
    let n = 12;
    let seeds: Vec<i64> = (0..n).map(|i| i % 3).collect();
    let fractions: Vec<f64> = (0..n).map(|i| [0.1, 0.3, 0.5, 1.0][i as usize / 3]).collect();
    let accuracies: Vec<f64> = fractions.iter().map(|fraction| 0.8 + 0.1 * fraction).collect();
    let secs: Vec<f64> = fractions.iter().map(|fraction| 100.0 * fraction).collect();
    let table = df!(
        "run" => (0..n).map(|i| format!("run {i}")).collect::<Vec<_>>(),
        "strategy" => fractions.iter().map(|f| if *f < 1.0 { "glister" } else { "full" }).collect::<Vec<_>>(),
        "fraction" => fractions,
        "seed" => seeds,
        "epochs" => vec![10_i64; n as usize],
        "test:accuracy.last" => accuracies,
        "run:seconds.last" => secs,
    )
    .unwrap();
    let html = render(&table, &DataFrame::empty(), &Options::default()).unwrap();
    assert!(html.contains("Parallel coordinates of strategy, fraction, seed and test:accuracy.last</title>"));
    assert!(html.contains("test:accuracy.last against run:seconds.last</title>"));
    let alike = render(&table.head(Some(1)), &DataFrame::empty(), &Options::default()).unwrap();
    assert!(!alike.contains("Parallel coordinates") && !alike.contains("against run:seconds"));
}
