//! Items, variables, results and errors of cells.

use crate::client::Kernel;

#[test]
fn results_streams_and_the_prelude() {
    let kernel = Kernel::start();
    assert_eq!(kernel.run("1 + 1").ok(), "2");
    let outcome = kernel.run("println!(\"out\"); eprintln!(\"err\"); \"text\"");
    assert_eq!(
        (outcome.ok().as_str(), outcome.stream("stdout").as_str(), outcome.stream("stderr").as_str()),
        ("\"text\"", "out\n", "err\n")
    );
    assert_eq!(outcome.reply["execution_count"], 2);
    assert!(kernel.run("let quiet = 3;").contents("execute_result").is_empty());
    let outcome = kernel.run("df!(\"a<b\" => [1, 2], \"x\" => [0.5, 1.5])");
    assert!(outcome.text().contains("shape: (2, 2)"), "{}", outcome.text());
    let html = outcome.contents("execute_result")[0]["data"]["text/html"].as_str().unwrap().to_owned();
    assert!(html.contains("a&lt;b") && html.contains("2 rows × 2 columns"), "{html}");
    let tensor = kernel.run("Tensor::from_slice(&[1.0f32, 2.0]) * 2.0").ok();
    assert!(tensor.starts_with("Tensor [2] Float cpu, min 2.0000, max 4.0000"), "{tensor}");
    // A `Result` shows its value; a type without `Debug` its name.
    assert_eq!(kernel.run("\"5\".parse::<u8>()").ok(), "5");
    assert_eq!(kernel.run("struct Bare; Bare").ok().split(' ').nth(4), Some("cell_7::Bare"));
    assert_eq!(kernel.run("()").ok(), "");
    assert_eq!(kernel.run("").ok(), "");
}

#[test]
fn variables_live_on_with_their_types() {
    let kernel = Kernel::start();
    kernel.run("let a = 1; let (b, mut c) = (2.5, vec![\"x\"]); let d = df!(\"n\" => [1, 2])?;").ok();
    assert_eq!(kernel.run("c.push(\"y\"); (a, b, c.len(), d.height())").ok(), "(1, 2.5, 2, 2)");
    assert_eq!(kernel.run("println!(\"{a}\"); format!(\"{c:?}\")").ok(), "\"[\\\"x\\\", \\\"y\\\"]\"");
    // Another type for the same name; a pattern; a type written out; a nested generic.
    kernel.run("let a = a.to_string() + \"!\"; let Some(e) = Some(7_u8) else { panic!() }; let f: Vec<u8> = Vec::new();").ok();
    kernel.run("let g = HashMap::from([(1u8, Some(vec![Tensor::from(1)]))]); let h = std::sync::Arc::new(a.clone());").ok();
    assert_eq!(kernel.run("(&a, e, f.len(), g.len(), &h)").ok(), "(\"1!\", 7, 0, 1, \"1!\")");
    let vars = kernel.run(":vars").stream("stdout");
    assert!(vars.contains("a  std::string::String\n") && vars.contains("f  Vec<u8>\n"), "{vars}");
    // A moved variable is gone, and it is said where to.
    kernel.run("drop(c);").ok();
    let (error, traceback) = kernel.run("c.len()").failure();
    assert_eq!(error, "error[E0425]: cannot find value `c` in this scope");
    assert!(traceback.contains("`c` was moved in ["), "{traceback}");
    // Moved and given a new value; moved and shadowed; moved only in part.
    kernel.run("let mut v = vec![1]; let w = (vec![1], vec![2]); let s = String::new();").ok();
    kernel.run("v = v.into_iter().map(|x| x + 1).collect();").ok();
    kernel.run("let s = s.into_bytes(); let first = w.0;").ok();
    assert_eq!(kernel.run("(v, s, first)").ok(), "([2], [], [1])");
    kernel.run("w").failure();
    assert_eq!(kernel.run("let x = vec![3]; let y = x; y.len()").ok(), "1");
}

#[test]
fn what_cannot_be_kept_is_said_and_the_cell_runs() {
    let kernel = Kernel::start();
    let outcome =
        kernel.run("let v = vec![3, 1, 2]; let largest = v.iter().max(); println!(\"{largest:?}\");");
    outcome.ok();
    assert_eq!(outcome.stream("stdout"), "Some(3)\n");
    assert!(
        outcome.stream("stderr").contains("`largest` borrows from `v`; variables must own"),
        "{outcome:#?}"
    );
    let outcome = kernel.run("let slice = &v[1..]; slice.len()");
    assert_eq!(outcome.ok(), "2");
    assert!(outcome.stream("stderr").contains("`slice` borrows from `v`"), "{outcome:#?}");
    let outcome = kernel.run("let add = |x: i32| x + 1; let three = add(2);");
    outcome.ok();
    assert!(outcome.stream("stderr").contains("`add` is of a type that has no name"), "{outcome:#?}");
    assert_eq!(kernel.run("(three, v.len())").ok(), "(3, 3)");
    let (_, traceback) = kernel.run("add(1)").failure();
    assert!(traceback.contains("`add` was of a type without a name in [3]"), "{traceback}");
}

#[test]
fn items_live_on_and_are_replaced() {
    let kernel = Kernel::start();
    kernel
        .run("use std::fmt::{self, Display as Show2};\n#[derive(Debug, Clone)]\npub struct Point { x: i32 }")
        .ok();
    kernel.run("impl Point { fn double(&self) -> Self { Point { x: 2 * self.x } } }").ok();
    kernel.run("impl Show2 for Point { fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { write!(f, \"<{}>\", self.x) } }")
        .ok();
    assert_eq!(kernel.run("let p = Point { x: 4 }; p.double().to_string()").ok(), "\"<8>\"");
    kernel.run("impl Point { fn double(&self) -> Self { Point { x: 20 * self.x } } }").ok();
    assert_eq!(kernel.run("p.double().x").ok(), "80");
    kernel.run("fn twice<T>(f: impl Fn(T) -> T, x: T) -> T { f(f(x)) }\nmacro_rules! nine { () => { 9 } }\nconst N: usize = 3;")
        .ok();
    assert_eq!(kernel.run("twice(|x| x + nine!(), N)").ok(), "21");
    // A type defined anew: variables of the old one are gone, implementations that do not fit are dropped.
    let outcome = kernel.run("#[derive(Debug, Clone)]\nstruct Point { x: i32, y: i32 }");
    outcome.ok();
    let said = outcome.stream("stderr");
    assert!(said.contains("`p` was of a type that is now another"), "{said}");
    assert!(said.contains("`impl Point` no longer compiles and was dropped"), "{said}");
    assert_eq!(kernel.run("Point { x: 1, y: 2 }.to_string()").ok(), "\"<1>\"");
    kernel.run("p").failure();
    // A static is one and the same in every cell.
    kernel.run("use std::sync::atomic::*; static COUNT: AtomicUsize = AtomicUsize::new(5);").ok();
    kernel.run("COUNT.fetch_add(1, Ordering::SeqCst);").ok();
    assert_eq!(kernel.run("COUNT.load(Ordering::SeqCst)").ok(), "6");
}

#[test]
fn errors_name_their_type_and_place() {
    let kernel = Kernel::start();
    let (error, traceback) = kernel.run("let a = 1;\nlet b: u8 = \"x\".parse()?;").failure();
    assert_eq!(error, "std::ParseIntError: invalid digit found in string");
    assert_eq!(traceback, "std::ParseIntError: invalid digit found in string");
    let (error, traceback) = kernel.run("let a = 1;\n  let b: u8 = \"x\";").failure();
    assert_eq!(error, "error[E0308]: mismatched types");
    assert!(traceback.contains("--> In [2]:2:15\n"), "{traceback}");
    assert!(
        traceback.contains("2 |   let b: u8 = \"x\";\n  |               ^^^ expected `u8`, found `&str`"),
        "{traceback}"
    );
    assert!(!traceback.contains("__"), "{traceback}");
    let (error, traceback) = kernel.run("let a = = 1;").failure();
    assert_eq!(error, "SyntaxError: expected an expression");
    assert!(traceback.contains("--> In [3]:1:9"), "{traceback}");
    // An error of one's own with a cause; a `Result` as the last expression; a text.
    kernel.run("#[derive(Debug)] struct Mine(std::fmt::Error);
        impl std::fmt::Display for Mine { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, \"mine\") } }
        impl std::error::Error for Mine { fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) } }").ok();
    let outcome = kernel.run("Err::<(), _>(Mine(std::fmt::Error))?;");
    let (error, traceback) = outcome.failure();
    // In red, and told once.
    let told = outcome.contents("error");
    assert_eq!(told.len(), 1, "{told:#?}");
    let coloured = told[0]["traceback"].as_array().unwrap();
    assert_eq!(coloured.len(), 1, "{coloured:?}");
    assert!(
        coloured[0].as_str().unwrap().starts_with("\u{1b}[1;31mMine\u{1b}[0m\u{1b}[31m: mine"),
        "{coloured:?}"
    );
    assert_eq!(outcome.stream("stderr"), "");
    assert_eq!(error, "Mine: mine");
    assert_eq!(traceback.matches("caused by: an error occurred").count(), 1, "{traceback}");
    assert_eq!(kernel.run("Err::<(), _>(Mine(std::fmt::Error))").failure().0, "Mine: mine");
    assert_eq!(kernel.run("Err(\"just text\")?;").failure().0, "Error: just text");
    assert_eq!(
        kernel.run("Dataset::named(\"fashion-mnits\")").failure().0.split(':').next(),
        Some("glisten")
    );
    assert_eq!(
        kernel.run(":nonsense").failure().0,
        "CommandError: there is no command `:nonsense`; `:help` lists those that there are"
    );
}

#[test]
fn a_panic_says_where_and_keeps_the_variables() {
    let kernel = Kernel::start();
    kernel.run("let mut v = vec![1, 2];").ok();
    let (error, traceback) = kernel.run("v.push(3);\nlet w = 1;\nv[7]").failure();
    assert_eq!(error, "panic: index out of bounds: the len is 3 but the index is 7");
    assert!(traceback.ends_with("at In [2]:3:2"), "{traceback}");
    assert_eq!(kernel.run("v").ok(), "[1, 2, 3]");
    // What was finished before it, too.
    assert_eq!(kernel.run("w").ok(), "1");
    // Moved into a cell that failed: gone, and said so.
    let outcome = kernel.run("drop(v); Err(\"no\")?;");
    outcome.failure();
    assert!(outcome.stream("stderr").contains("lost with it: `v`"), "{outcome:#?}");
    kernel.run("v").failure();
}
