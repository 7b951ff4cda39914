//! The kernel, driven by a fake front end on real sockets. Needs the notebook bundle: `cargo xtask test` makes it.

/// Items, variables, results and errors of cells.
mod cells;
/// The front end.
mod client;
/// The user's own dependencies.
mod deps;
/// The Rust of README and guide.
mod documents;
/// Random input.
#[path = "../../src/fuzz.rs"]
mod fuzz;
/// Clients that do not read, ask for too much, or make no sense.
mod hostile;
/// The stop button.
mod interrupt;
/// Start, end, death, and what they leave behind.
mod life;
/// Every public function of Glisten, called from cells.
mod prelude;
/// Messages other than cells, good and bad.
mod protocol;
/// What must not end a session: panics of the kernel's own, deep nesting, long lines.
mod robust;
/// Streams, displays and input.
mod streams;
