//! What must not end a session: panics of the kernel's own, deep nesting, long lines.

use serde_json::json;

use crate::client::Kernel;

#[test]
fn lines_of_any_length_are_compiled_and_drawn_in_part() {
    let kernel = Kernel::start();
    let long = "x".repeat(70_000);
    // As a pasted line of JSON; behind that much; and with an error there, of rustc's, of the parser's, of the cell's own.
    assert_eq!(kernel.run(&format!("let json = \"{long}\"; json.len()")).ok(), "70000");
    assert_eq!(kernel.run(&format!("let far = \"{long}\"; let near = 2; far.len() + near")).ok(), "70002");
    let (error, traceback) = kernel.run(&format!("let s = \"{long}\"; let n: u8 = \"no\";")).failure();
    assert_eq!(error, "error[E0308]: mismatched types");
    assert!(traceback.contains(&format!("In [3]:1:{}", 70_000 + 25)), "{traceback}");
    assert!(traceback.contains("let n: u8 = \"no\"") && traceback.len() < 2_000, "{traceback}");
    let mark = |text: &str, sign: char| text.lines().find_map(|line| line.find(sign)).expect("a mark");
    let line = traceback.lines().find(|line| line.contains("u8 = ")).expect("the line");
    let columns = |text: &str, byte: usize| text[..byte].chars().count();
    let marks = traceback.lines().find(|line| line.contains('^')).expect("marks");
    assert_eq!(columns(line, line.find("\"no\"").unwrap()), columns(marks, mark(marks, '^')), "{traceback}");
    let (error, traceback) = kernel.run(&format!("let s = \"{long}\"; let = 3;")).failure();
    assert!(error.starts_with("SyntaxError") && traceback.contains("let = 3;"), "{error}\n{traceback}");
    kernel.run(&format!("let s = \"{long}\"; Err(\"own\")?;")).failure();
    assert_eq!(kernel.run("near").ok(), "2");
}

#[test]
fn names_of_any_length_are_listed() {
    let kernel = Kernel::start();
    let long = "v".repeat(70_000);
    kernel.run(&format!("let {long} = 1; let short = 2_u8;")).ok();
    let listed = kernel.run(":vars").stream("stdout");
    assert!(listed.contains(&format!("{long}  i32\n")) && listed.contains("short  "), "{}", listed.len());
}

#[test]
fn types_as_deep_as_code_are_kept() {
    let kernel = Kernel::start();
    kernel.run("let before = 7;").ok();
    for depth in [100, 500] {
        let code = format!("let deep = {}1{};", "Some(".repeat(depth), ")".repeat(depth));
        let outcome = kernel.run(&code);
        let ended = outcome.reply["ename"].as_str().unwrap_or_default().to_owned();
        assert!(ended != "ProcessEnded" && ended != "KernelError", "{depth}: {ended}");
    }
    assert_eq!(kernel.run("before").ok(), "7");
}

#[test]
fn deep_code_ends_in_an_answer_or_an_error_and_the_session_lives() {
    let kernel = Kernel::start();
    kernel.run("let before = 7;").ok();
    assert_eq!(kernel.run(&format!("1{}", "+1".repeat(10_000))).ok(), "10001");
    assert_eq!(kernel.run(&format!("{}5{}", "(".repeat(1_000), ")".repeat(1_000))).ok(), "5");
    assert_eq!(kernel.run(&format!("{}5_i32", "-".repeat(3_000))).ok(), "5");
    for code in [
        format!("let v: {}u8{} = todo!();", "Vec<".repeat(300), ">".repeat(300)),
        format!("1.5_f32{}", ".abs()".repeat(10_000)),
        "(".repeat(1_000),
        format!("{}1{}", "{".repeat(5_000), "}".repeat(5_000)),
        format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000)),
        format!("if true {{ 0 }} {} else {{ 2 }}", "else if true { 1 } ".repeat(10_000)),
        format!("let f = {} 1;", "|x: i32| ".repeat(1_000)),
        format!("let t = true{};", " && true".repeat(50_000)),
        "&".repeat(1_000_000),
        format!("m!({}{})", "(".repeat(20_000), ")".repeat(20_000)),
        "fn f() {".repeat(3_000),
        "mod m {".repeat(3_000),
    ] {
        let outcome = kernel.run(&code);
        assert!(outcome.reply["status"] == "ok" || outcome.reply["status"] == "error", "{}", &code[..40]);
        if outcome.reply["status"] == "error" {
            let (error, _) = outcome.failure();
            assert!(
                !error.starts_with("ProcessEnded") && !error.starts_with("KernelError"),
                "{}: {error}",
                &code[..40]
            );
        }
    }
    let (error, _) = kernel.run(&format!("let a = 1;\nlet b = {}1;", "-".repeat(30_000))).failure();
    assert!(error.starts_with("NestingError: line 2 of In [") && error.contains("at most 20000"), "{error}");
    assert_eq!(kernel.run("before").ok(), "7");
}

#[test]
fn a_panic_of_the_kernels_own_ends_its_request_and_nothing_else() {
    let kernel = Kernel::start_with_variables(&[("GLISTEN_KERNEL_PANIC_AT", "badword")]);
    kernel.run("let kept = vec![1, 2, 3];").ok();
    // The thread that runs cells.
    let (error, _) = kernel.run("let badword = 1;").failure();
    assert!(error.starts_with("KernelError: the kernel itself failed (a test asked for this, at"), "{error}");
    assert_eq!(kernel.run("kept.len()").ok(), "3");
    // Those that answer while a cell runs.
    for (socket, msg_type, content) in [
        (&kernel.shell, "complete_request", json!({"code": "badword.", "cursor_pos": 8})),
        (&kernel.shell, "inspect_request", json!({"code": "badword", "cursor_pos": 3, "detail_level": 0})),
        (&kernel.shell, "is_complete_request", json!({"code": "badword"})),
        (
            &kernel.shell,
            "history_request",
            json!({"hist_access_type": "search", "pattern": "badword", "raw": true,
            "output": false}),
        ),
        (&kernel.shell, "comm_info_request", json!({"target_name": "badword"})),
        (&kernel.control, "kernel_info_request", json!({"badword": 1})),
    ] {
        let reply = kernel.ask(socket, msg_type, &content);
        assert_eq!(
            (&reply["status"], &reply["ename"]),
            (&json!("error"), &json!("KernelError")),
            "{msg_type}"
        );
    }
    // The one that passes on output: the cell's end still comes, with what it was.
    let outcome = kernel.run("println!(\"{}{}\", \"bad\", \"word\"); kept.iter().sum::<i32>()");
    assert_eq!(outcome.ok(), "6");
    assert!(outcome.stream("stderr").contains("some output is missing here"), "{outcome:#?}");
    // The one that finds the types of a cell's variables, before the cell runs.
    let (error, _) = kernel.run("println!(\"ran\"); let panic_in_types = 1;").failure();
    assert!(error.starts_with("KernelError") && error.contains("a test asked for this"), "{error}");
    kernel.run("panic_in_types").failure();
    // Before the cell's code is looked at.
    let (error, _) = kernel.run("let panic_in_queue = 1;").failure();
    assert!(error.starts_with("KernelError"), "{error}");
    // While it runs, also where it asks the user; and when it has run. What it took another value for is not read as the old.
    kernel.run("let other = String::from(\"other\");").ok();
    for code in [
        "let other = vec![1_u8]; println!(\"{}\", other.len()); let panic_in_run = 1;",
        "let other = vec![1_u8]; let panic_in_run = input(\"?\");",
        "let other = vec![1_u8]; let panic_in_end = 1;",
    ] {
        let id = kernel.send_cell(code);
        let (error, _) = kernel.outcome(&id).failure();
        assert!(error.starts_with("KernelError"), "{code}: {error}");
        let (_, traceback) = kernel.run("other").failure();
        assert!(traceback.contains("`other` was lost when the kernel itself failed in ["), "{traceback}");
        assert_eq!(kernel.run("kept.len()").ok(), "3");
        kernel.run("let other = String::from(\"other\");").ok();
    }
    // In a display of a cell's.
    let outcome = kernel.run("display(&df!(\"panic_in_display\" => [1])?); kept.len()");
    assert_eq!(outcome.ok(), "3");
    assert!(outcome.stream("stderr").contains("a display is missing here"), "{outcome:#?}");
    let reply = kernel.ask(&kernel.shell, "complete_request", &json!({"code": "kep", "cursor_pos": 3}));
    assert!(reply["matches"].to_string().contains("kept"), "{reply}");
    assert_eq!(kernel.run("kept").ok(), "[1, 2, 3]");
}

#[test]
fn what_was_finished_before_a_cell_failed_is_kept() {
    let kernel = Kernel::start();
    // An error on the last line, as one makes it.
    kernel
        .run("let frame = df!(\"x\" => [1, 2])?; let fitted = vec![0.5, 1.5]; frame.column(\"typo\")?")
        .failure();
    assert_eq!(kernel.run("(fitted.len(), frame.height())").ok(), "(2, 2)");
    // In the middle, by `?`, by a panic, by `return`: what comes after is not there.
    kernel.run("let a = 1; let b: u8 = \"x\".parse()?; let c = 3;").failure();
    kernel.run("let d = 4; let (e, f) = (5, \"six\"); if d == 4 { panic!(\"stop\") }; let g = 7;").failure();
    kernel.run("let h = vec![8]; if h.len() == 1 { return Err(\"early\".into()); } let i = 9;").failure();
    assert_eq!(kernel.run("(a, d, e, f, h[0])").ok(), "(1, 4, 5, \"six\", 8)");
    for name in ["b", "c", "g", "i"] {
        let (error, _) = kernel.run(name).failure();
        assert!(error.contains(&format!("cannot find value `{name}`")), "{error}");
    }
    // Changed later, by reference and by moving; and a change to what was there before.
    kernel.run("let mut v = vec![1]; v.push(2); let n = v.len(); Err(\"no\")?;").failure();
    assert_eq!(kernel.run("(v.len(), n)").ok(), "(2, 2)");
    kernel
        .run("let mut w = vec![1, 2]; w = w.into_iter().rev().collect(); v.push(3); Err(\"no\")?;")
        .failure();
    assert_eq!(kernel.run("v.len()").ok(), "3");
    assert_eq!(kernel.run("let mut w = vec![1, 2]; w = w.into_iter().rev().collect(); w[0]").ok(), "2");
    assert_eq!(kernel.run("w").ok(), "[2, 1]");
    // Moved into what failed: gone; moved into another variable: that one is there.
    kernel.run("let s = String::from(\"s\"); let t = s + \"t\"; Err(\"no\")?;").failure();
    assert_eq!(kernel.run("t").ok(), "\"st\"");
    kernel.run("s").failure();
    // Bound twice: the second value, of another type, or none where it did not come to that.
    kernel.run("let x = 1; let x = x.to_string(); Err(\"no\")?;").failure();
    assert_eq!(kernel.run("x").ok(), "\"1\"");
    kernel.run("let x = 2; let y = 3; Err::<(), _>(\"no\")?; let x = \"never\";").failure();
    assert_eq!(kernel.run("y").ok(), "3");
    let (_, traceback) = kernel.run("x").failure();
    assert!(traceback.contains("`x` took another value in ["), "{traceback}");
    kernel.run("let x = String::from(\"1\");").ok();
    // A variable of before that takes another value, then an error.
    kernel.run("let x = x.len(); Err(\"no\")?;").failure();
    assert_eq!(kernel.run("x + 1").ok(), "2");
    // What borrows within the cell still works there, closures too.
    kernel.run("let text = String::from(\"a b\"); let words: Vec<&str> = text.split(' ').collect(); let k = words.len(); Err(\"no\")?;")
        .failure();
    assert_eq!(kernel.run("(&text, k)").ok(), "(\"a b\", 2)");
    kernel.run("let add = |x: i32| x + 1; let three = add(2); let cell = std::cell::RefCell::new(1); *cell.borrow_mut() += three; Err(\"no\")?;")
        .failure();
    assert_eq!(kernel.run("(three, cell.into_inner())").ok(), "(3, 4)");
    // A type that a later line settles; a value that comes later.
    kernel.run("let mut list = Vec::new(); list.push(1_u8); let late; late = 5; Err(\"no\")?;").failure();
    assert_eq!(
        kernel.run("let mut list = Vec::new(); list.push(1_u8); let sum: u8 = list.iter().sum(); sum").ok(),
        "1"
    );
    // A cell that cannot be divided says what it does not keep.
    let outcome = kernel.run("let one = 1; let late; late = 5; Err(\"no\")?;");
    outcome.failure();
    assert!(outcome.stream("stderr").contains("can only be kept whole: `one`, `late`"), "{outcome:#?}");
    kernel.run("one").failure();
    // Patterns, and a variable that another one borrows from.
    kernel
        .run("struct Point { x: i32, y: i32 } let Point { x: px, y: py } = Point { x: 1, y: 2 }; let [first, .., last] = [1, 2, 3]; let Some(q) = Some(4) else { panic!() }; Err(\"no\")?;")
        .failure();
    assert_eq!(kernel.run("(px, py, first, last, q)").ok(), "(1, 2, 1, 3, 4)");
    // Many of them.
    let many: String = (0..60).map(|n| format!("let m{n} = {n};\n")).collect();
    kernel.run(&format!("{many}Err(\"no\")?;")).failure();
    assert_eq!(kernel.run("m0 + m30 + m59").ok(), "89");
}

#[test]
fn statics_of_every_kind_are_one_and_the_same_in_every_cell() {
    let kernel = Kernel::start();
    kernel.run("static GREETING: &str = \"hi\";").ok();
    let outcome = kernel.run("GREETING.len()");
    assert_eq!((outcome.ok().as_str(), outcome.stream("stderr").as_str()), ("2", ""));
    kernel.run("struct Pair<'a> { a: &'a str, b: u8 }\nuse std::borrow::Cow; use std::sync::{LazyLock, Mutex, OnceLock}; use std::cell::RefCell;")
        .ok();
    kernel
        .run("static WORDS: [&str; 2] = [\"a\", \"b\"]; static COW: Cow<str> = Cow::Borrowed(\"cow\");")
        .ok();
    kernel
        .run("static PAIR: Pair = Pair { a: \"x\", b: 1 }; const LIMIT: usize = 3; static mut RAW: u8 = 1;")
        .ok();
    kernel.run("static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new()); static ONCE: OnceLock<String> = OnceLock::new();").ok();
    kernel
        .run("static LAZY: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| HashMap::from([(\"one\", 1)]));")
        .ok();
    kernel.run("thread_local! { static LOCAL: RefCell<Vec<i32>> = RefCell::new(Vec::new()); static TWO: std::cell::Cell<u8> = const { std::cell::Cell::new(2) }; }")
        .ok();
    kernel.run("LOG.lock().unwrap().push(\"first\"); ONCE.set(GREETING.to_owned()).unwrap(); LOCAL.with(|l| l.borrow_mut().push(5)); TWO.set(3); unsafe { RAW += 1 };")
        .ok();
    let outcome = kernel.run("let log = LOG.lock().unwrap().len(); (WORDS[1], COW.len(), PAIR.b, LIMIT, log, ONCE.get().cloned(), LAZY[\"one\"], LOCAL.with(|l| l.borrow()[0]), TWO.get(), unsafe { RAW })");
    assert_eq!(outcome.ok(), "(\"b\", 3, 1, 3, 1, Some(\"hi\"), 1, 5, 3, 2)");
    assert_eq!(outcome.stream("stderr"), "");
    // A static that is not at fault stays out of other errors.
    let (error, traceback) = kernel.run("let n: u8 = GREETING;").failure();
    assert_eq!(error, "error[E0308]: mismatched types");
    assert!(!traceback.contains("static GREETING"), "{traceback}");
    kernel.run("static GREETING: u8 = 9;").ok();
    assert_eq!(kernel.run("GREETING").ok(), "9");
}
