//! The page from the outside: options and gaps, snapshots, hostile input in every field.

mod hostile; // random hostile text in every field
mod options; // what options add and leave out, and what a report says of what is missing
mod snapshots; // the contexts of the templates and the page, against kept files

#[path = "../made_up/mod.rs"]
mod made_up;
