//! Completion and inspection against a small world of crates.

use std::sync::{Mutex, OnceLock};

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
        }
        pub struct Column;
        impl Column { pub fn dtype(&self) -> usize { 0 } }
        pub trait FrameOps { fn is_wide(&self) -> bool; }
        impl FrameOps for Frame { fn is_wide(&self) -> bool { true } }
        impl std::ops::Deref for Holder { type Target = Frame; }
        pub struct Holder;
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
    pub mod prelude { pub use super::core::*; pub use super::lazy::{Expr, Lazy, col}; }
"#;

fn world() -> (Mutex<State>, Docs) {
    let prelude = "pub mod prelude { pub use frames::prelude::*; } pub use frames;";
    let index = gather::of_texts(&[("frames", FRAMES), (super::ROOT, prelude)]).finish();
    let state = Mutex::new(State::default());
    lock(&state).gain("täglich", "glisten_prelude::frames::prelude::Frame".to_owned());
    lock(&state).gain("numbers", "std::vec::Vec<frames::core::Column>".to_owned());
    (state, Docs { index: OnceLock::from(index), ..Docs::default() })
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
    assert_eq!(matches("täglich."), ["clone", "columns", "is_wide", "lazy", "width"]);
    assert_eq!(matches("täglich.lazy().filter(col(\"a\")).c"), ["collect"]);
    assert_eq!(matches("täglich.clone().lazy().collect()?.is"), ["is_wide"]);
    assert_eq!(matches("Frame::empty().unw"), ["unwrap", "unwrap_err", "unwrap_or", "unwrap_or_default"]);
    assert_eq!(matches("numbers[0].d"), ["dtype"]);
    assert_eq!(matches("numbers.first().unwrap().d"), ["dtype"]);
    assert_eq!(matches("let h = Holder::new();\nlet f = h.clone(); h.la"), ["lazy"]);
    assert!(matches("unknown.").is_empty() && matches("\"täglich.").is_empty() && matches("1.").is_empty());
}

#[test]
fn paths_offer_what_is_there() {
    assert_eq!(matches("Expr::"), ["Column", "Literal"]);
    assert_eq!(matches("Frame::em"), ["empty"]);
    assert_eq!(matches("frames::"), ["core", "lazy", "prelude"]);
    assert_eq!(matches("frames::prelude::co"), ["col"]);
    assert_eq!(matches("Fra"), ["Frame", "FrameOps", "FrameResult"]);
    assert_eq!(matches("fra"), ["frames"]);
    assert_eq!(matches(":ti"), [":timing"]);
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
    assert_eq!(text("nothing"), "");
}
