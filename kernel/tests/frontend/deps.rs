//! The user's own dependencies: `:dep`. None of this uses the network: crates of a folder, and crates that the build of
//! Glisten has left in cargo's own cache.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Kernel, plain};

/// A crate with a static, a type and a macro.
const TALLY: &str = r#"
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    #[derive(Debug, Clone, PartialEq)]
    pub struct Tally { pub n: u32 }
    impl Tally { pub fn next() -> Self { Self { n: COUNT.fetch_add(1, Ordering::SeqCst) } } }
    pub fn double<T: Clone>(value: &T) -> (T, T) { (value.clone(), value.clone()) }
    #[macro_export] macro_rules! thrice { ($value:expr) => { $crate::Tally { n: 3 * $value } } }
"#;

fn write_crate(folder: &Path, name: &str, code: &str) {
    std::fs::create_dir_all(folder.join(name).join("src")).unwrap();
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.3.0\"\nedition = \"2024\"\n");
    std::fs::write(folder.join(name).join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join(name).join("src/lib.rs"), code).unwrap();
}

#[test]
fn a_crate_of_a_folder_is_built_once_and_its_types_and_statics_live_on() {
    let kernel = Kernel::start();
    write_crate(kernel.folder(), "my-tally", TALLY);
    let outcome =
        kernel.run(":dep my-tally = { path = \"my-tally\" }\nlet first = my_tally::Tally::next();\nfirst");
    assert_eq!(outcome.ok(), "Tally { n: 0 }");
    assert!(
        outcome.stream("stdout").contains("my-tally 0.3.0 ready")
            || shown(&outcome).contains("my-tally 0.3.0 ready"),
        "{outcome:#?}"
    );
    // One static for all cells; variables, items and macros across cells.
    assert_eq!(kernel.run("my_tally::Tally::next().n").ok(), "1");
    kernel.run("use my_tally::{Tally, thrice}; fn next() -> Tally { Tally::next() }\nstruct Holds { tally: Tally }").ok();
    kernel.run("let held = Holds { tally: next() }; let pair = my_tally::double(&first);").ok();
    assert_eq!(kernel.run("(held.tally.n, pair.1 == first, thrice!(2).n)").ok(), "(2, true, 6)");
    assert!(kernel.run(":vars").stream("stdout").contains("first  my_tally::Tally\n"));
    let listed = kernel.run(":dep").stream("stdout");
    assert!(listed.starts_with("my-tally = { path = \"/") && listed.contains("(0.3.0)"), "{listed}");
    // Cells that have nothing to do with it, and errors that point into the right line.
    assert_eq!(kernel.run("1 + 1").ok(), "2");
    let (_, traceback) =
        kernel.run(":dep my-tally = { path = \"my-tally\" }\n\nmy_tally::nothing();").failure();
    assert!(traceback.contains("]:3:11"), "{traceback}");

    // A second dependency beside it: nothing is lost, and the static goes on.
    write_crate(
        kernel.folder(),
        "other",
        "pub use my_tally::Tally; pub fn n(tally: &Tally) -> u32 { 100 + tally.n }",
    );
    let manifest = kernel.folder().join("other/Cargo.toml");
    let with_tally = std::fs::read_to_string(&manifest).unwrap()
        + "[dependencies]\nmy-tally = { path = \"../my-tally\" }\n";
    std::fs::write(manifest, with_tally).unwrap();
    let outcome = kernel.run(":dep ./other\nother::n(&my_tally::Tally::next())");
    assert_eq!((outcome.ok().as_str(), outcome.stream("stderr").as_str()), ("103", ""), "{outcome:#?}");
    assert_eq!(kernel.run("(other::n(&first), held.tally.n)").ok(), "(100, 2)");

    // A second session, with the same cache.
    let began = Instant::now();
    let second = kernel.start_beside();
    second.run(":dep my-tally = { path = \"my-tally\" }").ok();
    assert_eq!(second.run("my_tally::Tally::next().n").ok(), "0");
    println!("the second session took {:.1} s to the first result", began.elapsed().as_secs_f64());

    // Sources that change while the old build is loaded: said, and nothing of the old is used.
    write_crate(kernel.folder(), "my-tally", &TALLY.replace("new(0)", "new(50)"));
    let outcome = kernel.run(":dep my-tally = { path = \"my-tally\" }");
    outcome.ok();
    let said = outcome.stream("stderr");
    assert!(
        said.contains("since my_tally, other were built anew. These variables are lost: first, held, pair"),
        "{said}"
    );
    assert_eq!(kernel.run("next().n").ok(), "50");
}

#[test]
fn crates_that_the_prelude_has_too_stand_beside_it() {
    let kernel = Kernel::start();
    let outcome = kernel.run(":dep serde = { version = \"1\", features = [\"derive\"] }\n:dep serde_json");
    outcome.ok();
    assert!(
        shown(&outcome).contains("serde 1.") && shown(&outcome).contains("serde_json 1."),
        "{outcome:#?}"
    );
    let bars = outcome.contents("update_display_data");
    assert!(
        bars.iter().any(|bar| bar["data"]["text/html"]
            .as_str()
            .is_some_and(|html| html.contains("<progress value")))
    );
    kernel
        .run("use serde::{Deserialize, Serialize};\n#[derive(Debug, Serialize, Deserialize)]\nstruct Point { x: f64, name: String }")
        .ok();
    let text = kernel.run("let point: Point = serde_json::from_str(\"{\\\"x\\\": 1.5, \\\"name\\\": \\\"a\\\"}\")?; serde_json::to_string(&point)?");
    assert_eq!(text.ok(), "\"{\\\"x\\\":1.5,\\\"name\\\":\\\"a\\\"}\"");
    kernel.run("let value = serde_json::json!({\"rows\": [point.x, 2.0]});").ok();
    // Beside dataframes and tensors in one cell, and across cells.
    let code = "let rows: Vec<f64> = value[\"rows\"].as_array().into_iter().flatten().filter_map(|row| row.as_f64()).collect();
        let frame = df!(\"rows\" => &rows)?; (frame.height(), Tensor::from_slice(&rows).sum(Kind::Double).double_value(&[]))";
    assert_eq!(kernel.run(code).ok(), "(2, 3.5)");
    assert!(kernel.run(":vars").stream("stdout").contains("value  serde_json::Value\n"));
    let (error, _) = kernel.run("serde_json::from_str::<Point>(\"{\")?;").failure();
    assert!(error.starts_with("serde_json::Error: EOF while parsing"), "{error}");
}

#[test]
fn what_cannot_be_had_is_said_and_changes_nothing() {
    let kernel = Kernel::start();
    kernel.run("let kept = 5;").ok();
    let (error, _) = kernel.run(":dep polars = \"0.40\"").failure();
    assert!(error.starts_with("DependencyError: `polars` is there already, without `:dep`"), "{error}");
    assert!(kernel.run(":dep two words").failure().0.contains("is no dependency"));
    assert!(kernel.run(":dep a = { path = \"nowhere\" }").failure().0.contains("no crate at"));
    let (error, traceback) = kernel.run(":dep no-such-crate-anywhere = \"1\"").failure();
    assert!(
        error.contains("no matching package named `no-such-crate-anywhere` found"),
        "{error}\n{traceback}"
    );
    // rustc's words about a crate that does not compile.
    write_crate(kernel.folder(), "broken", "pub fn f() -> u8 { \"text\" }");
    let (error, traceback) = kernel.run(":dep broken = { path = \"broken\" }").failure();
    assert_eq!(error, "DependencyError: mismatched types");
    assert!(plain(&traceback).contains("src/lib.rs:1:20"), "{traceback}");
    assert_eq!(kernel.run(":dep").stream("stdout").lines().count(), 1);
    assert_eq!(kernel.run("kept").ok(), "5");
    // A code that does not fit is not run behind a dependency that failed.
    let outcome = kernel.run(":dep broken = { path = \"broken\" }\nlet kept = 6;");
    outcome.failure();
    assert_eq!(kernel.run("kept").ok(), "5");
}

#[test]
fn the_stop_button_stops_cargo() {
    let kernel = Kernel::start();
    kernel.run("let kept = 5;").ok();
    write_crate(kernel.folder(), "slow", "");
    let build = "fn main() { std::thread::sleep(std::time::Duration::from_secs(600)) }";
    std::fs::write(kernel.folder().join("slow/build.rs"), build).unwrap();
    let id = kernel.send_cell(":dep slow = { path = \"slow\" }");
    let messages = kernel.until(&id, |message| message.msg_type == "display_data");
    let text = messages.last().unwrap().content["data"]["text/plain"].as_str().unwrap().to_owned();
    assert!(text.starts_with("building slow: "), "{text}");
    let pressed = Instant::now();
    kernel.ask(&kernel.control, "interrupt_request", &json!({}));
    let (error, _) = kernel.outcome(&id).failure();
    assert!(pressed.elapsed() < Duration::from_secs(1), "{:?}", pressed.elapsed());
    assert!(error.starts_with("KeyboardInterrupt: while cargo was at work"), "{error}");
    assert_eq!(kernel.run("kept").ok(), "5");
}

/// What displays show at last.
fn shown(outcome: &crate::client::Outcome) -> String {
    let last = outcome.contents("update_display_data").pop().or(outcome.contents("display_data").pop());
    last.and_then(|content| content["data"]["text/plain"].as_str().map(str::to_owned)).unwrap_or_default()
}
