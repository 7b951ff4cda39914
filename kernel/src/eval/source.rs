//! The crate that one cell becomes, and where each of its lines comes from.

use std::fmt::Write as _;

use super::cell::Cell;
use super::item::Defines;
use super::state::{KeptItem, Variable};
use crate::deps::Built;

/// What a line of the generated file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Ours.
    Generated,
    /// Line `.0` of the cell, with the same columns.
    Cell(usize),
    /// A line of an item of an earlier cell: index in the list of kept items.
    Kept(usize),
    /// Takes this variable out of the store.
    Take(String),
    /// Moves this variable out of the cell's body, to be kept.
    Own(String),
    /// Puts back a variable that the cell only borrowed.
    PutBack(String),
    /// Asks for the types of this group of new variables.
    Types(usize),
}

/// How the variables that a cell mentions are handed to it; corrected by what rustc says of the first try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Moved in, and back out with the new variables: `x = f(x)`.
    pub(crate) by_value: Vec<String>,
    /// Moved in for good.
    pub(crate) gone: Vec<String>,
    /// New variables that cannot outlive the cell, since they borrow or were moved.
    pub(crate) left_out: Vec<String>,
    /// Variables that stay in the store, since the cell cannot name their types.
    pub(crate) unreadable: Vec<String>,
    /// New variables that a later stage moves and gives another value.
    pub(crate) threaded: Vec<String>,
    /// The cell is one stage: what it has made is lost where it fails.
    pub(crate) in_one: bool,
}

/// What stands beside a cell's own code.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// The items of earlier cells that it may use, with their places in the list of kept items.
    pub(crate) items: &'a [(usize, &'a KeptItem)],
    /// The user's own dependencies.
    pub(crate) deps: Option<&'a Built>,
}

/// A generated file under construction.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) text: String,
    origins: Vec<Origin>,
    /// For each stage, what there is of the cell's variables where it fails.
    pub(crate) ends: Vec<End>,
}

/// Where a stage fails.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// New variables that are kept.
    pub(crate) kept: Vec<String>,
    /// Variables of earlier cells whose names stood for something else by then, which is not kept.
    pub(crate) lost: Vec<String>,
}

/// Stages of a cell at most; the first one takes in what is beyond.
const MOST_STAGES: usize = 32;

/// A piece of a cell that runs to its end or fails: up to one `let`, so that what earlier ones have made is kept.
#[derive(Debug, Default)]
struct Stage<'a> {
    /// Bytes of the cell.
    statements: Vec<std::ops::Range<usize>>,
    /// What it names.
    names: Vec<&'a String>,
    /// The last one shows the cell's value.
    is_last: bool,
}

impl Source {
    /// The library of a cell: `glisten_cell_N`, which returns 0 where the cell ran to its end.
    pub(crate) fn library(
        number: usize,
        cell: &Cell,
        world: World<'_>,
        borrowed: &[(&String, &Variable)],
        plan: &Plan,
    ) -> Self {
        let mut source = Self::with_items(number, cell, world);
        source.line(
            Origin::Generated,
            &format!("#[unsafe(no_mangle)] pub extern \"C\" fn glisten_cell_{number}() -> i32 {{"),
        );
        source.take(borrowed, plan);
        source.line(Origin::Generated, "__rt::begin();");
        let stages = stages(cell, plan);
        // Names that stand for new variables by now, and those of them that are not bound again later.
        let mut bound: Vec<&String> = Vec::new();
        for (at, stage) in stages.iter().enumerate() {
            let kept: Vec<&String> = bound
                .iter()
                .copied()
                .filter(|name| !stages[at..].iter().any(|later| later.names.contains(name)))
                .filter(|name| !plan.threaded.contains(name) && !plan.left_out.contains(name))
                .collect();
            // Moved in and out of each stage, until another value takes the name.
            let threaded: Vec<&String> = (plan.by_value.iter().filter(|name| !bound.contains(name)))
                .chain(plan.threaded.iter().filter(|name| bound.contains(name)))
                .collect();
            let returned: Vec<&String> = stage
                .names
                .iter()
                .copied()
                .chain(threaded.iter().copied().filter(|name| !stage.names.contains(name)))
                .collect();
            let pattern: String = returned.iter().map(|name| format!("mut {name}, ")).collect();
            source.line(Origin::Generated, &format!("let Some(({pattern})) = __rt::stage(|| {{"));
            source.stage(cell, stage, &threaded);
            source.line(Origin::Generated, "Ok((");
            for name in returned {
                let is_kept = !plan.left_out.contains(name);
                let value = if is_kept { format!("__rt::own({name}),") } else { format!("{name},") };
                source.line(Origin::Own(name.clone()), &value);
            }
            source.line(Origin::Generated, ")) }) else {");
            source.put_back(borrowed, plan, &bound);
            source.put(&kept);
            source.line(Origin::Generated, &format!("return {}; }};", at + 1));
            let lost = borrowed.iter().map(|(name, _)| *name);
            let lost = lost.filter(|name| bound.contains(name) && !kept.contains(name)).cloned().collect();
            source.ends.push(End { kept: kept.into_iter().cloned().collect(), lost });
            bound.retain(|name| !stage.names.contains(name));
            bound.extend(&stage.names);
        }
        source.put_back(borrowed, plan, &bound);
        let new = cell.variables.iter().map(|variable| &variable.name);
        let made: Vec<&String> = new
            .clone()
            .chain(plan.by_value.iter().filter(|name| !new.clone().any(|other| other == *name)))
            .filter(|name| !plan.left_out.contains(name))
            .collect();
        source.put(&made);
        source.line(Origin::Generated, "__rt::finish(); 0 }");
        source
    }

    /// A file that rustc refuses with E0121, once for each group of new variables, naming their types.
    pub(crate) fn types(
        number: usize,
        cell: &Cell,
        world: World<'_>,
        borrowed: &[(&String, &Variable)],
        groups: &[Vec<&String>],
    ) -> Self {
        let mut source = Self::with_items(number, cell, world);
        for (index, group) in groups.iter().enumerate() {
            source.line(Origin::Types(index), &format!("fn __types_{index}() -> _ {{"));
            let plan = Plan { in_one: true, ..Plan::default() };
            source.take(borrowed, &plan);
            source.line(Origin::Generated, "let __new = __rt::stage(|| {");
            for stage in stages(cell, &plan) {
                source.stage(cell, &stage, &[]);
            }
            source.line(Origin::Generated, "Ok((");
            for name in group {
                source.line(Origin::Own((*name).clone()), &format!("__rt::own({name}),"));
            }
            source.line(Origin::Generated, ")) }); match __new { Some(new) => new, None => loop {} } }");
        }
        source
    }

    /// What line `line` (from 1) of the file is.
    pub(crate) fn origin(&self, line: usize) -> &Origin {
        self.origins.get(line.wrapping_sub(1)).unwrap_or(&Origin::Generated)
    }

    fn with_items(number: usize, cell: &Cell, world: World<'_>) -> Self {
        let mut source = Self::default();
        source.line(
            Origin::Generated,
            "#![allow(warnings)] use glisten_prelude::{prelude::*, glisten, polars, tch, rt as __rt}; \
             macro_rules! __value { ($value:expr) => { &$value } }",
        );
        if let Some(deps) = world.deps {
            source.line(Origin::Generated, &imports_of(deps, cell, world.items));
        }
        for (index, item) in world.items {
            source.line(Origin::Kept(*index), &item.declaration());
        }
        for item in &cell.items {
            let (before, behind) = item.exports(number);
            if !before.is_empty() {
                source.line(Origin::Generated, &before);
            }
            let text = item.text(&cell.source);
            source.user(&cell.source, item.range.start, &text);
            if !behind.is_empty() {
                source.line(Origin::Generated, &behind);
            }
        }
        source
    }

    /// Takes the variables out of the store.
    fn take(&mut self, borrowed: &[(&String, &Variable)], plan: &Plan) {
        for (name, variable) in borrowed.iter().filter(|(name, _)| !plan.unreadable.contains(name)) {
            let take = format!("let mut {name}: {} = unsafe {{ __rt::take({name:?}) }};", variable.ty);
            self.line(Origin::Take((*name).clone()), &take);
        }
    }

    /// Puts variables back that the cell has only borrowed, but for those whose names stand for others by now.
    fn put_back(&mut self, borrowed: &[(&String, &Variable)], plan: &Plan, bound: &[&String]) {
        for (name, _) in borrowed.iter().filter(|(name, _)| !bound.contains(name)) {
            if [&plan.by_value, &plan.gone, &plan.unreadable].iter().all(|names| !names.contains(name)) {
                self.line(Origin::PutBack((*name).clone()), &format!("__rt::put({name:?}, {name});"));
            }
        }
    }

    /// Puts new variables into the store.
    fn put(&mut self, names: &[&String]) {
        for name in names {
            self.line(Origin::Own((*name).clone()), &format!("__rt::put({name:?}, {name});"));
        }
    }

    /// The cell's own code in one stage.
    fn stage(&mut self, cell: &Cell, stage: &Stage<'_>, threaded: &[&String]) {
        for name in threaded {
            self.line(Origin::Generated, &format!("let mut {name} = {name};"));
        }
        for statements in &stage.statements {
            self.user(&cell.source, statements.start, &cell.source[statements.clone()]);
        }
        match cell.tail.as_ref().filter(|_| stage.is_last) {
            Some(tail) => {
                // A macro and not parentheses: rustc would count those to the user's expression and point at them.
                self.line(Origin::Generated, "{ use __rt::via::*; let __value = __value!(");
                self.user(&cell.source, tail.start, &cell.source[tail.clone()]);
                self.line(
                    Origin::Generated,
                    "); let __value = (&&&&__rt::Peel(__value)).peel()?; (&&&__rt::Via(__value)).show_result(); }",
                );
            }
            // A macro call at the end may lack it.
            None => self.line(Origin::Generated, ";"),
        }
    }

    fn line(&mut self, origin: Origin, text: &str) {
        let _ = writeln!(self.text, "{text}");
        self.origins.extend(std::iter::repeat_n(origin, text.matches('\n').count() + 1));
    }

    /// `text`, which begins at byte `start` of the cell, on lines of its own and in its own columns.
    fn user(&mut self, cell: &str, start: usize, text: &str) {
        let before = &cell[..start];
        let first_line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        // Not by a width, which ends at 65,535.
        let _ = writeln!(self.text, "{}{text}", " ".repeat(column));
        self.origins.extend((0..=text.matches('\n').count()).map(|below| Origin::Cell(first_line + below)));
    }
}

/// Divides a cell behind its `let`s. A name that gets its value later keeps the cell in one piece.
fn stages<'a>(cell: &'a Cell, plan: &Plan) -> Vec<Stage<'a>> {
    let in_one = plan.in_one || cell.bindings.iter().any(|binding| !binding.has_value);
    let first = cell.bindings.len().saturating_sub(MOST_STAGES);
    let mut stages = vec![Stage::default()];
    let mut bindings = cell.bindings.iter().enumerate().peekable();
    for run in &cell.statements {
        let mut start = run.start;
        while let Some((at, binding)) = bindings.next_if(|(_, binding)| binding.end <= run.end) {
            let Some(stage) = stages.last_mut() else { break };
            stage.names.retain(|name| !binding.names.contains(name));
            stage.names.extend(&binding.names);
            if !in_one && at >= first {
                stage.statements.push(start..binding.end);
                start = binding.end;
                stages.push(Stage::default());
            }
        }
        if let Some(stage) = stages.last_mut().filter(|_| start < run.end) {
            stage.statements.push(start..run.end);
        }
    }
    if stages.len() > 1
        && cell.tail.is_none()
        && stages.last().is_some_and(|stage| stage.statements.is_empty())
    {
        stages.pop();
    }
    if let Some(last) = stages.last_mut() {
        last.is_last = true;
    }
    stages
}

/// Links the dependencies, and gives their names precedence over those that the prelude may have too, unless the user's own
/// items use them.
fn imports_of(deps: &Built, cell: &Cell, kept: &[(usize, &KeptItem)]) -> String {
    let mut text = format!("extern crate {} as _;", deps.krate);
    let own = || cell.items.iter().flat_map(|item| &item.parts).map(|part| &part.defines);
    for name in deps.names() {
        let is_this = |defines: &Defines| match defines {
            Defines::Other(text) => text.contains("extern crate"),
            other => other.name() == Some(name),
        };
        if !kept.iter().map(|(_, item)| item.defines()).chain(own()).any(is_this) {
            let _ = write!(text, " extern crate {name};");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::cell::parse;
    use super::*;

    #[test]
    fn each_line_of_the_cell_keeps_its_number_and_its_columns() {
        let code = "let a = 1; fn f() {\n    g();\n}\nlet b = \"\n  text\"; let c = 2; use x::y; a\n  + b";
        let cell = parse(code).unwrap();
        let variable = Variable { ty: "i32".to_owned() };
        let source = Source::library(
            1,
            &cell,
            World { items: &[], deps: None },
            &[(&"z".to_owned(), &variable)],
            &Plan::default(),
        );
        let lines: Vec<&str> = code.lines().collect();
        let mut seen = std::collections::BTreeSet::new();
        for (index, text) in source.text.lines().enumerate() {
            if let Origin::Cell(line) = *source.origin(index + 1) {
                let at = text.len() - text.trim_start().len();
                assert_eq!(lines[line - 1].get(at..text.len()), Some(text.trim_start()), "line {line}");
                seen.insert(line);
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(source.text.lines().count(), source.origins.len());
    }
}
