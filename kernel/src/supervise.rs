//! What panics inside the kernel ends the request that it was for, not the thread: whoever asked gets an error, and the session
//! goes on.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

thread_local! {
    /// Where the last panic of this thread began.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// For tests: the kernel panics wherever it meets this word.
const PANIC_AT: &str = "GLISTEN_KERNEL_PANIC_AT";

/// Notes from now on where panics begin, before they are reported as always.
pub(crate) fn watch() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
        PLACE.with(|cell| {
            if let Ok(mut cell) = cell.try_borrow_mut() {
                *cell = place.unwrap_or_default();
            }
        });
        report(info);
    }));
}

/// `work`'s result, or a sentence about the panic that ended it. What it shares with others must be locked by mutexes whose
/// poison is ignored, and changed in whole steps.
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let place = PLACE.with(|cell| cell.take());
        let message = text_of(payload.as_ref());
        log::error!("a panic at {place} was caught: {message}");
        format!("the kernel itself failed ({message}, at {place}); the session and its variables go on. Please report this")
    })
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text =
        payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

/// Panics if `text` holds the word that [`PANIC_AT`] names: that is how the tests reach each thread. Does nothing else.
pub(crate) fn panic_if_asked(text: &str) {
    static WORD: OnceLock<Option<String>> = OnceLock::new();
    let word = WORD.get_or_init(|| std::env::var(PANIC_AT).ok().filter(|word| !word.is_empty()));
    if let Some(word) = word
        && text.contains(word.as_str())
    {
        panic!("a test asked for this");
    }
}

/// As [`panic_if_asked`], at a place that a cell's text comes to later: panics if `text` holds `panic_in_` and `place`, where
/// [`PANIC_AT`] is set.
pub(crate) fn panic_in(place: &str, text: &str) {
    static IS_SET: OnceLock<bool> = OnceLock::new();
    let is_set = *IS_SET.get_or_init(|| std::env::var_os(PANIC_AT).is_some_and(|word| !word.is_empty()));
    if is_set && text.contains(&format!("panic_in_{place}")) {
        panic!("a test asked for this");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_sentence_that_says_what_and_where() {
        watch();
        let sentence = catch(|| panic!("at {}", "last")).unwrap_err();
        assert!(sentence.contains("at last") && sentence.contains("supervise.rs"), "{sentence}");
        assert_eq!(catch(|| 3), Ok(3));
    }
}
