//! Completion, inspection and `is_complete` on code that nobody would write: long, deep, random. Whatever it is, there is an answer,
//! soon, and the process lives on.

use std::time::{Duration, Instant};

use super::outline::{LONGEST, Outline};
use super::scope::Scope;
use super::tests::world;
use super::{complete, inspect, locals};
use crate::eval::scan::completeness;
use crate::fuzz::{Random, fuzz};
use crate::nesting::STACK;

/// The longest code, in bytes.
const MOST: usize = 1 << 20;

/// Far more than an answer takes, also on a machine that does much else: whatever grows with the square of the length, or doubles,
/// takes hours.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` with a small part of the stack that requests are answered with.
fn on_a_small_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK / 64);
        thread.spawn_scoped(scope, test).unwrap().join().unwrap();
    });
}

/// Asks everything that a front end asks about `code`, with the cursor at the code point `cursor`.
fn ask(code: &str, cursor: usize) {
    let (state, docs) = world();
    let end = code.chars().count();
    let begun = |what: &str, started: Instant| {
        let taken = started.elapsed();
        let head: String = code.chars().take(60).collect();
        if taken > Duration::from_millis(200) {
            eprintln!("{what}: {taken:?} for {} bytes: {head:?}", code.len());
        }
        assert!(taken < PATIENCE, "{what} took {taken:?} for {} bytes: {head}", code.len());
    };
    let started = Instant::now();
    let reply = complete(&state, &docs, code, cursor);
    begun("completion", started);
    let place = |name: &str| usize::try_from(reply[name].as_u64().unwrap()).unwrap();
    assert!(place("cursor_start") <= place("cursor_end") && place("cursor_end") <= end, "{reply}");
    let started = Instant::now();
    assert_eq!(inspect(&state, &docs, code, cursor, true)["status"], "ok");
    begun("inspection", started);
    let started = Instant::now();
    let _ = completeness(code);
    begun("is_complete", started);
}

#[test]
fn deep_code_is_answered() {
    on_a_small_stack(|| {
        for (opening, middle, closing) in [
            ("f(", "", ""),
            ("f(", "x", ")"),
            ("Vec<", "u8", ">"),
            ("let x: Vec<", "u8", ">"),
            ("(", "1", ")"),
            ("[", "täglich.", "]"),
            ("{", "x.", ""),
            ("-", "1", ""),
            ("!", "x", ""),
            ("&", "x.", ""),
            ("*", "x.", ""),
            ("1+", "x", ""),
            ("x.abs().", "", ""),
            ("x?.", "", ""),
            ("a::", "b", ""),
            ("a[", "x", "]"),
            ("|x| ", "x.", ""),
            ("if a {", "x.", "} else "),
            ("if a {} else ", "x.", ""),
            ("match x { A => ", "x.", "}"),
            ("x as ", "u8", ""),
            ("return ", "x.", ""),
            ("fn f() {", "x.", ""),
            ("mod a {", "x.", ""),
            ("impl A<", "x.", ""),
            ("#[a]", "x.", ""),
            ("a!{", "x.", ""),
            ("let Some(", "x", ""),
            ("let (", "x", ",)"),
            ("for x in ", "y.", ""),
            ("'a: ", "x.", ""),
            ("async ", "x.", ""),
            ("/*", "x.", "*/"),
            ("r#", "x.", ""),
            ("dyn Fn(", "x.", ")"),
            ("&'a ", "x.", ""),
            ("a = ", "x.", ""),
            ("a..", "x.", ""),
            ("täglich.apply(|x| ", "x.", ")"),
        ] {
            // The issue's examples, what stands around the limits, and as much as there may be.
            for n in [100, 300, 600, 3000, MOST / (opening.len() + closing.len())] {
                let code = format!("{}{middle}{}", opening.repeat(n), closing.repeat(n));
                let (end, of_middle) =
                    (code.chars().count(), format!("{}{middle}", opening.repeat(n)).chars().count());
                ask(&code, end);
                ask(&code, of_middle);
            }
        }
    });
}

#[test]
fn long_code_is_answered() {
    on_a_small_stack(|| {
        for line in [
            "let x = f(x);\n",
            "let a = (a, a);\n",
            "let täglich = täglich.clone();\n",
            "let x = numbers.iter().map(|c| c.dtype());\n",
            "x = [1, 2, 3]; ",
            "fn f(a: u8) -> u8 { a }\n",
            "for x in xs { let y = x; }\n",
            "// words\n",
            "x.y(1).",
            "1, ",
            "'a ",
            "\"text\" ",
            "r#\"text\"# ",
            ":vars\n",
            "let x = (",
            "let x: Vec<u8>",
            "ä",
            "täglich.",
            "\n",
            "'\\",
            "b'x' ",
            "match x { A { y } => 1, B if c => { 2 } _ => 3 }\n",
            "A { y } => 1, ",
            ".map(|c| c.clone())",
            "Frame::empty()?.lazy().filter(col(\"a\")).",
        ] {
            for n in [100, 1000, MOST / line.len()] {
                for (head, tail) in
                    [("", ""), ("let täglich = täglich;\n", "\ntäglich."), ("fn g() {\n", "numbers[0].")]
                {
                    let code = format!("{head}{}{tail}", line.repeat(n));
                    ask(&code, code.chars().count());
                }
            }
        }
    });
}

#[test]
fn a_name_is_known_in_the_longest_cell() {
    on_a_small_stack(|| {
        let (state, docs) = world();
        let mut code = "let far = täglich.lazy();\n".to_owned();
        while code.len() < MOST - 100 {
            code += &format!("let x{} = numbers.iter().map(|c| c.clone());\n", code.len());
        }
        code += "let near = far.collect()?;\n";
        for (tail, expected) in
            [("near.la", "lazy"), ("far.coll", "collect"), ("numbers[0].d", "dtype"), ("fa", "far")]
        {
            let code = format!("{code}{tail}");
            let started = Instant::now();
            let reply = complete(&state, &docs, &code, code.chars().count());
            assert_eq!(reply["matches"][0], expected, "{tail}");
            assert!(started.elapsed() < PATIENCE);
        }
        let code = format!("{code}far");
        let reply = inspect(&state, &docs, &code, code.chars().count(), false);
        assert_eq!(reply["data"]["text/plain"].as_str().unwrap().split('\n').next(), Some("far: Lazy"));
    });
}

/// Pieces of code, and of what is none.
const PIECES: [&str; 78] = [
    "täglich",
    "numbers",
    "frames_by_name",
    "Frame",
    "Frame::empty()",
    "x",
    "y",
    "self",
    "1",
    "1.5",
    "\"a\"",
    "'a'",
    "'a",
    "'",
    "\"",
    "r#\"",
    "r#",
    "\"#",
    "b\"a\"",
    "//",
    "/*",
    "*/",
    "\n",
    " ",
    "\t",
    "\\",
    "ä",
    "🦀",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "::",
    "::<",
    ":",
    ";",
    ",",
    ".",
    "..",
    "..=",
    "?",
    "!",
    "&",
    "&mut ",
    "*",
    "-",
    "+",
    "=",
    "==",
    "=>",
    "->",
    "|",
    "||",
    "#",
    "#[a]",
    "$",
    "@",
    "_",
    "let ",
    "let mut ",
    "fn ",
    "for ",
    " in ",
    "if ",
    "else ",
    "match ",
    "impl ",
    "struct ",
    " as ",
    "move ",
    ".iter()",
    ".map(|c| ",
    ".unwrap()",
    ":dep ",
];

/// Any code.
fn code(random: &mut Random) -> String {
    let mut code = String::new();
    let limit = if random.below(50) == 0 { MOST } else { 1 << 13 };
    let most = random.size(limit);
    while code.len() < most {
        let n_pieces = random.size(6);
        let piece: String = (0..n_pieces).map(|_| random.pick(&PIECES)).collect();
        match random.below(4) {
            0 => code += &piece.repeat(random.size((most - code.len()) / piece.len() + 1)),
            // One in the other.
            1 => {
                let closing: String = piece
                    .chars()
                    .rev()
                    .map(|c| match c {
                        '(' => ')',
                        '[' => ']',
                        '{' => '}',
                        '<' => '>',
                        c => c,
                    })
                    .collect();
                let n = random.size((most - code.len()) / piece.len() / 2 + 1);
                code += &piece.repeat(n);
                code += random.pick(&PIECES);
                code += &closing.repeat(random.below(n + 1));
            }
            _ => code += &piece,
        }
    }
    code.truncate(code.floor_char_boundary(MOST));
    code
}

#[test]
fn random_code_is_answered() {
    on_a_small_stack(|| {
        fuzz(300, |random| {
            let code = code(random);
            let end = code.chars().count();
            let cursor = if random.below(2) == 0 { end } else { random.below(end + 2) };
            ask(&code, cursor);
        });
    });
}

/// Code that is whole up to a cursor: what stands before it.
fn sensible(random: &mut Random, depth: usize) -> String {
    let mut code = String::new();
    for _ in 0..random.below(5) {
        let name = random.pick(&["a", "b", "c", "x", "y"]);
        let value = random.pick(&[
            "täglich",
            "numbers",
            "a",
            "x",
            "f(1, 2)",
            "S { a: 1 }",
            "{ 1 }",
            "if a { 1 } else { 2 }",
            "vec![1, 2]",
        ]);
        code += &match random.below(13) {
            0 => format!("let {name} = {value};\n"),
            1 => format!("let mut {name}: Frame = {value};\n"),
            2 => format!("let ({name}, z) = ({value}, 1);\n"),
            3 => format!("let Some({name}) = Some({value}) else {{ return }};\n"),
            4 => format!("f({value});\n"),
            5 => format!("for {name} in {value}.iter() {{ let inner = {name}; }}\n"),
            6 => format!("if let Some({name}) = {value}.first() {{ f(a) }} else {{ g() }}\n"),
            7 => format!("match {name} {{ A {{ q, .. }} => f(q), B(r) if r > 1 => {{ g(r) }} _ => 3 }}\n"),
            8 => format!("fn f(p: &Frame) -> u8 {{ let {name} = p; 1 }}\n"),
            9 => format!(
                "#[derive(Debug)] struct S<T> {{ {name}: Vec<T> }}\nimpl<T> S<T> {{ fn f(&self) {{}} fn g() {{}} }}\n"
            ),
            10 => format!("let {name} = match {value} {{ A => 1, B => {{ 2 }} _ => 3 }};\n"),
            11 => format!("let {name} = numbers.iter().map(|c| {{ let d = c; d.clone() }});\n"),
            _ => format!("let {name} = S {{ a: {value}, b: [1, 2] }};\nprintln!(\"{{}}\", {name});\n"),
        };
    }
    if depth == 0 {
        return code + random.pick(&["", "f(x, ", "let k = x + ", "x.y(1).", "k = "]);
    }
    code += random.pick(&[
        "for k in numbers.iter() {\n",
        "if let Some(k) = numbers.first() {\n",
        "if a { f() } else {\n",
        "while let Ok(k) = Frame::empty() {\n",
        "match Frame::empty() { Err(e) => f(e), Ok(k) => {\n",
        "match Frame::empty() { Err(e) => { f(e) } Ok(k) if a => {\n",
        "let w = match Some(täglich) { None => 1, Some(k) => {\n",
        "loop {\n",
        "unsafe {\n",
        "{\n",
        "fn h(k: &Frame) {\n",
        "impl Frame { fn i(&self) { f() } fn j(&self, k: u8) {\n",
        "numbers.iter().map(|k| {\n",
        "let w = numbers.iter().filter(|c| true).map(|k| {\n",
        "f(a, [1, 2], |k: &Frame| {\n",
        "if let P { k, .. } = x {\n",
    ]);
    code + &sensible(random, depth - 1)
}

/// What is left out of an outline makes no difference.
#[test]
fn outlines_bind_what_the_whole_binds() {
    let (state, docs) = world();
    let index = docs.current();
    let scope = Scope::new(&state, &docs, &index);
    let mut n_parsed = 0;
    fuzz(2000, |random| {
        let depth = random.below(4);
        let code = sensible(random, depth);
        scope.begin_anew();
        let whole = Outline { text: code.clone(), ..Outline::of(&code, "").unwrap() };
        let expected = locals::bound_in(&scope, whole);
        scope.begin_anew();
        let found = locals::bound_in(&scope, Outline::of(&code, "").unwrap());
        n_parsed += usize::from(expected.is_some());
        assert!(code.len() < LONGEST);
        if expected.is_some() {
            assert_eq!(found, expected, "{code}");
        }
    });
    assert!(n_parsed > 0 || std::env::var_os("GLISTEN_FUZZ_SEED").is_some(), "nothing was compared");
}
