//! How long cells take, beside bare rustc with the same bundle: `cargo test --release -- --ignored --nocapture latency`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{Kernel, bundle};

const TRIALS: usize = 9;

const CELLS: [(&str, &str); 6] = [
    ("1 + 1", "1 + 1"),
    ("println!", "println!(\"hello\");"),
    (
        "polars and tch",
        "(frame.clone().lazy().sort([\"x\"], Default::default()).collect()?, &tensor * 2.0).0",
    ),
    ("show a tensor", "Tensor::from_slice(&[1.0f32, 2.0, 3.0]) * 2.0"),
    ("let df = df!(…)", "let df = df!(\"a\" => [1, 2, 3], \"b\" => [\"x\", \"y\", \"z\"])?;"),
    ("let, moved and back", "frame = frame.lazy().sort([\"x\"], Default::default()).collect()?;"),
];

#[test]
#[ignore = "a measurement"]
fn latency() {
    let started = Instant::now();
    let kernel = Kernel::start();
    kernel
        .run("let mut frame = df!(\"x\" => [3, 1, 2])?; let tensor = Tensor::from(1.0); (&frame, &tensor)")
        .ok();
    println!("start to the first result with polars and tch: {:.0} ms", millis(started.elapsed()));
    for (name, code) in CELLS {
        let times = (0..TRIALS).map(|_| {
            let sent = Instant::now();
            kernel.run(code).ok();
            sent.elapsed()
        });
        println!("{name}: {:.0} ms", millis(median(times.collect())));
    }
    for (name, code) in [("1 + 1", "println!(\"{}\", 1 + 1)"), ("polars and tch", POLARS_AND_TCH)] {
        println!("bare rustc, {name}: {:.0} ms", millis(bare(code)));
    }
}

const POLARS_AND_TCH: &str = "let frame = df!(\"x\" => [3, 1, 2]).unwrap(); let tensor = Tensor::from(1.0);
    println!(\"{}\", frame.lazy().sort([\"x\"], Default::default()).collect().unwrap()); println!(\"{:?}\", &tensor * 2.0)";

/// The median time that rustc itself takes for `code` in a library against the bundle.
fn bare(code: &str) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = bundle();
    let about = std::fs::read_to_string(bundle.join("bundle.json")).expect("bundle.json");
    let about: serde_json::Value = serde_json::from_str(&about).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let source = format!(
        "use glisten_prelude::{{prelude::*, polars, tch}};\n#[unsafe(no_mangle)] pub extern \"C\" fn f() {{ {code} }}"
    );
    std::fs::write(folder.path().join("cell.rs"), source).expect("written");
    let times = (0..TRIALS).map(|_| {
        let started = Instant::now();
        let status = Command::new(text(&about["rustc_path"]))
            .current_dir(folder.path())
            .args([
                "cell.rs",
                "--edition",
                "2024",
                "--crate-type",
                "cdylib",
                "-Cprefer-dynamic",
                "-Copt-level=0",
            ])
            .args(["-Cdebuginfo=0", "--cap-lints=allow", "--extern"])
            .arg(format!("glisten_prelude={}", Path::new(&bundle).join("libglisten_prelude.so").display()))
            .arg(format!("-Ldependency={}", bundle.join("deps").display()))
            .arg(format!("-Lnative={}", text(&about["native"][0])))
            .status();
        assert!(status.expect("rustc runs").success());
        started.elapsed()
    });
    median(times.collect())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
