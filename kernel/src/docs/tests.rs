//! Completion and inspection against a small world of crates.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use super::{Docs, complete, gather, inspect};
use crate::eval::lock;
use crate::eval::state::State;

const FRAMES: &str = r#"
    pub mod core {
        pub type FrameResult<T> = Result<T, String>;
        /// Rows and columns.
        #[derive(Clone)]
        pub struct Frame { pub width: usize }
        impl Frame {
            /// A frame of nothing.
            pub fn empty() -> FrameResult<Self> { loop {} }
            pub fn lazy(self) -> crate::lazy::Lazy { loop {} }
            pub fn columns(&self) -> Vec<Column> { loop {} }
            pub fn parts(&self) -> &[Column] { loop {} }
            pub fn apply<F>(&self, f: F) -> usize where F: Fn(&Frame, usize) -> usize { 0 }
        }
        #[derive(Clone)]
        pub struct Column;
        impl Column { pub fn dtype(&self) -> usize { 0 } }
        pub trait FrameOps { fn is_wide(&self) -> bool; }
        impl FrameOps for Frame { fn is_wide(&self) -> bool { true } }
        impl std::ops::Deref for Holder { type Target = Frame; }
        pub struct Holder;
        pub struct Parts;
        impl Parts { pub fn new() -> Parts { loop {} } }
        impl Iterator for Parts { type Item = Frame; }
        impl Holder { pub fn new() -> Holder { loop {} } }
    }
    pub mod lazy {
        use crate::prelude::*;
        pub struct Lazy;
        impl Lazy {
            pub fn filter(self, by: Expr) -> Self { self }
            pub fn collect(self) -> FrameResult<Frame> { loop {} }
        }
        pub enum Expr { Column, Literal }
        pub fn col(name: &str) -> Expr { loop {} }
    }
    pub mod made {
        macro_rules! setter {
            ($name:ident($field:ident)) => {
                #[doc = concat!("Sets the ", stringify!($field), ".")]
                pub fn $name(mut self, n: usize) -> Self { self.$field = n; self }
            };
        }
        macro_rules! thing { ($name:ident) => { pub struct $name; impl $name { setter!(with_year(year)); setter!(with_day(day)); } } }
        thing!(Date);
    }
    pub mod slice {}
    pub mod prelude { pub use super::{made::*, slice}; pub use super::core::*; pub use super::lazy::{Expr, Lazy, col}; }
"#;

pub(super) fn world() -> (Mutex<State>, Docs) {
    let prelude = "pub mod prelude { pub use frames::prelude::*; } pub use frames;";
    let index = gather::of_texts(&[("frames", FRAMES), (super::ROOT, prelude)]).finish();
    let state = Mutex::new(State::default());
    let map = "std::collections::HashMap<std::string::String, frames::core::Frame>";
    lock(&state).gain("frames_by_name", map.to_owned());
    lock(&state).gain("täglich", "glisten_prelude::frames::prelude::Frame".to_owned());
    lock(&state).gain("numbers", "std::vec::Vec<frames::core::Column>".to_owned());
    (state, Docs { index: OnceLock::from(Arc::new(index)), ..Docs::default() })
}

fn matches(code: &str) -> Vec<String> {
    let (state, docs) = world();
    let reply = complete(&state, &docs, code, code.chars().count());
    reply["matches"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn offsets_count_code_points() {
    let (state, docs) = world();
    let reply = complete(&state, &docs, "let ü = tä", 10);
    assert_eq!((&reply["matches"], &reply["cursor_start"]), (&json!(["täglich"]), &json!(8)));
    let reply = inspect(&state, &docs, "täglich + 1", 3, false);
    let text = reply["data"]["text/plain"].as_str().unwrap();
    assert_eq!(text, "täglich: Frame\n\nRows and columns.");
}

#[test]
fn types_are_followed_through_calls_traits_and_deref() {
    assert_eq!(matches("täglich."), ["apply", "clone", "columns", "is_wide", "lazy", "parts", "width"]);
    assert_eq!(matches("täglich.lazy().filter(col(\"a\")).c"), ["collect"]);
    assert_eq!(matches("täglich.clone().lazy().collect()?.is"), ["is_wide"]);
    assert_eq!(matches("Frame::empty().unw"), ["unwrap", "unwrap_err", "unwrap_or", "unwrap_or_default"]);
    assert_eq!(matches("numbers[0].d"), ["dtype"]);
    assert_eq!(matches("numbers.first().unwrap().d"), ["dtype"]);
    assert_eq!(matches("let h = Holder::new();\nlet f = h.clone(); h.la"), ["lazy"]);
    assert!(matches("unknown.").is_empty() && matches("\"täglich.").is_empty() && matches("1.").is_empty());
}

#[test]
fn what_a_cell_binds_is_known_wherever_it_is_bound() {
    for (code, expected) in [
        // Loops, over what iterates by itself too.
        ("for column in täglich.columns() { column.d", "dtype"),
        ("for (at, column) in täglich.columns().iter().enumerate() {\n    let x = at; f(column.d", "dtype"),
        ("for part in Parts::new() { part.la", "lazy"),
        ("for (name, frame) in frames_by_name.iter() { frame.la", "lazy"),
        // Conditions and arms.
        ("if let Ok(frame) = Frame::empty() { frame.la", "lazy"),
        ("let Ok(frame) = Frame::empty() else { return };\nframe.la", "lazy"),
        ("while let Some(column) = numbers.iter().next() { column.d", "dtype"),
        ("match Frame::empty() {\n    Err(why) => f(why),\n    Ok(frame) => frame.la", "lazy"),
        ("match Frame::empty() { Ok(frame) if frame.is_w", "is_wide"),
        // Closures, by what the method gives them.
        ("numbers.iter().map(|column| column.d", "dtype"),
        ("täglich.parts().iter().map(|column| column.d", "dtype"),
        ("numbers.iter().filter(|c| true).map(|c| f(c.d", "dtype"),
        ("täglich.apply(|frame, n| frame.la", "lazy"),
        ("let f = |frame: &Frame| frame.la", "lazy"),
        ("let all = numbers.iter().map(|c| c.clone()).collect::<Vec<_>>(); all[0].d", "dtype"),
        ("let lazy = Some(1).map(|_| täglich.lazy()); lazy.unwrap().coll", "collect"),
        // Functions and methods.
        ("fn f(frame: &Frame, n: usize) -> usize { frame.wi", "width"),
        ("impl Frame { fn more(&self) { self.wi", "width"),
        // Macros; tuples; patterns within patterns.
        ("for column in &numbers { println!(\"{:?}\", column.d", "dtype"),
        ("let (frame, n) = (Frame::empty()?, 5); frame.wi", "width"),
        (
            "let pairs = vec![1]; let P { x, .. } = 5; if let Some((frame, _)) = Some((täglich.clone(), 1)) { frame.wi",
            "width",
        ),
        // What ends a scope ends its names.
        ("let x = täglich; { let x = numbers; } x.wi", "width"),
    ] {
        assert_eq!(matches(code), [expected], "{code}");
    }
    // Names alone, the nearest first; not those of other scopes.
    assert_eq!(matches("let far = 1; numbers.iter().map(|fab| fa")[..2], ["fab", "far"]);
    assert!(matches("let fig = 1; { let fog = 1; } f").iter().all(|name| name != "fog"));
    assert!(matches("let fig = 1; fn f(fat: u8) { f").iter().all(|name| name != "fig"));
    // A name that is bound anew to something unknown is not the old one.
    assert!(matches("let täglich = unknown(); täglich.").is_empty());
}

#[test]
fn paths_offer_what_is_there() {
    assert_eq!(matches("Expr::"), ["Column", "Literal"]);
    assert_eq!(matches("Frame::em"), ["empty"]);
    assert_eq!(matches("frames::"), ["core", "lazy", "made", "prelude", "setter!", "slice", "thing!"]);
    assert_eq!(matches("frames::prelude::co"), ["col"]);
    assert_eq!(matches("Fra"), ["Frame", "FrameOps", "FrameResult"]);
    assert_eq!(matches("fra"), ["frames_by_name", "frames"]);
    assert_eq!(matches(":ti"), [":timing"]);
    assert_eq!(matches(":dep a = \"1\"\nlet h = Holder::new(); h.la"), ["lazy"]);
}

#[test]
fn the_users_own_crates_are_known_beside_the_preludes() {
    let (state, docs) = world();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lib.rs");
    let code = "pub mod deep { pub struct Own; impl Own { /// Of mine.\n pub fn twice(&self) -> frames::core::Frame { loop {} } } }
        pub use deep::Own; pub fn make() -> Own { Own }";
    std::fs::write(&path, code).unwrap();
    let source = gather::Source { name: "mine".to_owned(), path, features: HashSet::new() };
    let extended = gather::extend(docs.of_prelude(), &[source]).finish();
    *docs.extended.write().unwrap() = Some(Arc::new(extended));
    lock(&state).gain("own", "mine::deep::Own".to_owned());
    let matches = |code: &str| complete(&state, &docs, code, code.chars().count())["matches"].clone();
    assert_eq!(matches("mine::"), json!(["Own", "deep", "make"]));
    assert_eq!((matches("mine::make().tw"), matches("own.tw")), (json!(["twice"]), json!(["twice"])));
    assert_eq!(matches("own.twice().wi"), json!(["width"]));
    assert_eq!(matches("min"), json!(["mine"]));
    let reply = inspect(&state, &docs, "own.twice", 9, false);
    assert!(reply["data"]["text/plain"].as_str().unwrap().ends_with("Of mine."), "{reply}");
}

#[test]
fn inspection_shows_signature_and_docs() {
    let (state, docs) = world();
    let text = |code: &str| {
        let reply: Value = inspect(&state, &docs, code, code.chars().count(), false);
        reply["data"]["text/plain"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(text("Frame::empty("), "// Frame\nfn empty() -> FrameResult<Self>\n\nA frame of nothing.");
    assert_eq!(text("täglich.lazy().filter"), "// Lazy\nfn filter(self, by: Expr) -> Self");
    assert_eq!(text("col"), "fn col(name: &str) -> Expr");
    // What macros have made.
    assert_eq!(matches("fn f(d: Date) { d.with_year(1).wi"), ["with_day", "with_year"]);
    let setter = "// Date\nfn with_year(mut self, n: usize) -> Self\n\nSets the year.";
    assert_eq!(text("fn f(d: Date) { d.with_year"), setter);
    assert_eq!(text("numbers.iter().map(|column| column"), "column: Column");
    assert_eq!(text("for both in frames_by_name.iter() { both"), "both: (String, Frame)");
    assert_eq!(text("nothing"), "");
}
