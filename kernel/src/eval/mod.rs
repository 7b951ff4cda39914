//! Evaluates cells: take one apart, compile it against the bundle, run it in the worker, keep what outlives it.
//!
//! Each cell is a small crate with the items of all cells before it. Variables wait in the worker's store; those
//! that the cell mentions are taken out, lent to its code, and put back.

pub(crate) mod cell;
pub(crate) mod command;
mod dep;
mod diagnostic;
mod item;
mod plan;
mod reach;
pub(crate) mod rustc;
pub(crate) mod scan;
mod source;
pub(crate) mod state;
mod types;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::deps::Dependencies;
use crate::docs::Docs;
use crate::interrupt::Interrupts;
use crate::nesting::{self, TooDeep};
use crate::supervise;
use crate::worker::{Publish, Reply, Worker};
use cell::Cell;
use diagnostic::Diagnostic;
use item::CellItem;
use plan::Attempt;
use rustc::{Compiler, Goal};
use source::{Origin, Plan, Source, World};
use state::{KeptItem, State, Variable};

/// Why a cell ended early, in the protocol's terms.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) ename: String,
    pub(crate) evalue: String,
    pub(crate) traceback: Vec<String>,
}

/// Who shows what a cell has to say while it runs.
pub(crate) trait Host {
    /// The value of the last expression, as a MIME bundle.
    fn result(&mut self, data: Value);
    /// The text that a command asked for.
    fn say(&mut self, text: &str);
    /// Documentation that a command asked for, as a MIME bundle.
    fn page(&mut self, data: Value);
    /// A remark of the kernel's own.
    fn remark(&mut self, text: &str);
    /// The cell asks the user; false if the front end does not allow it.
    fn ask(&mut self, prompt: &str, password: bool) -> bool;
}

/// Items, variables, and the worker that holds them.
pub(crate) struct Session {
    compiler: Arc<Compiler>,
    interrupts: Arc<Interrupts>,
    publish: Arc<dyn Publish>,
    state: Arc<Mutex<State>>,
    docs: Arc<Docs>,
    worker: Option<Worker>,
    /// The user's own, by `:dep`.
    deps: Dependencies,
    /// What is wrong with the compiler, until somebody mends it.
    broken: Option<String>,
    cells: usize,
    timing: bool,
    timed: Timed,
    /// A cell is with the worker, whose end has not been heard of.
    awaits_worker: bool,
    /// It has asked the user something, and waits for the answer.
    asks: bool,
    /// Variables that the cell that runs may change the type of, or move: what there is of them is known at its end only.
    at_risk: Vec<String>,
}

/// Where the time of a cell went.
#[derive(Debug, Default, Clone, Copy)]
struct Timed {
    compile: Duration,
    run: Duration,
    attempts: usize,
}

impl Session {
    /// A session that compiles with `compiler` and shows streams and displays through `publish`. Its worker starts at
    /// once and loads the prelude while the first cell is still being typed.
    pub(crate) fn new(
        compiler: Arc<Compiler>,
        interrupts: Arc<Interrupts>,
        publish: Arc<dyn Publish>,
        state: Arc<Mutex<State>>,
        docs: Arc<Docs>,
        broken: Option<String>,
    ) -> Self {
        let (timing, timed) = (false, Timed::default());
        let mut session = Self {
            compiler,
            interrupts,
            publish,
            state,
            docs,
            worker: None,
            deps: Dependencies::default(),
            broken,
            cells: 0,
            timing,
            timed,
            awaits_worker: false,
            asks: false,
            at_risk: Vec::new(),
        };
        if let Err(failure) = session.worker() {
            session.broken = Some(failure.evalue);
        }
        session
    }

    /// Runs one cell, which the user knows by `number`.
    ///
    /// # Errors
    /// [`Failure`], ready to be shown.
    pub(crate) fn evaluate(&mut self, code: &str, number: usize, host: &mut dyn Host) -> Result<(), Failure> {
        supervise::panic_if_asked(code);
        let (commands, code) = command::split(code);
        let code = code.as_str();
        self.command(&commands, host)?;
        let question = command::question(code, &lock(&self.state));
        if let Some(name) = question {
            return self.document(name, host);
        }
        if let Some(sentence) = &self.broken {
            return Err(Failure::new("BundleError", sentence.clone()));
        }
        let started = Instant::now();
        self.timed = Timed::default();
        nesting::check(code).map_err(|deep| Failure::too_deep(deep, number))?;
        let cell = cell::parse(code).map_err(|error| Failure::syntax(&error, code, number))?;
        if cell.items.is_empty() && cell.statements.is_empty() && cell.tail.is_none() {
            return Ok(());
        }
        self.cells += 1;
        let id = self.cells;
        self.interrupts.compiling(&self.compiler);
        let result = self.evaluate_cell(&cell, id, number, host);
        self.interrupts.idle();
        for name in [format!("cell_{id}"), format!("types_{id}"), format!("types_{id}_each")] {
            self.compiler.clean(&name);
        }
        if self.timing {
            let Timed { compile, run, attempts } = self.timed;
            let again = if attempts > 1 { format!(" ({attempts} tries)") } else { String::new() };
            let total = started.elapsed().as_secs_f64();
            let (compile, run) = (compile.as_secs_f64(), run.as_secs_f64());
            host.remark(&format!("compile {compile:.2} s{again}, run {run:.2} s, total {total:.2} s\n"));
        }
        result
    }

    fn evaluate_cell(
        &mut self,
        cell: &Cell,
        id: usize,
        number: usize,
        host: &mut dyn Host,
    ) -> Result<(), Failure> {
        let (lent, kept, orphans) = {
            let state = lock(&self.state);
            let orphans = state.orphans(cell);
            let mentioned = state.variables.iter().filter(|(name, _)| cell.words.contains(*name));
            let lent: Vec<(String, Variable)> = mentioned
                .filter(|(name, _)| !orphans.contains(name))
                .map(|(name, variable)| (name.clone(), variable.clone()))
                .collect();
            (lent, state.items_beside(cell), orphans)
        };
        let compiling = Instant::now();
        let attempt = self.compile(cell, id, number, &lent, kept, host);
        self.timed.compile = compiling.elapsed();
        let mut attempt = attempt?;
        self.drop_orphans(&orphans, host);
        let kept = std::mem::take(&mut attempt.kept);
        lock(&self.state).keep_items(kept, cell, id, attempt.library.is_some());
        let running = Instant::now();
        let moved = attempt.plan.by_value.iter().chain(&attempt.plan.gone);
        self.at_risk = cell.variables.iter().map(|variable| &variable.name).chain(moved).cloned().collect();
        let outcome = match &attempt.library {
            Some(library) => self.run(library, &attempt, id, number, host),
            None => Ok(()),
        };
        self.timed.run = running.elapsed();
        let failed_at = outcome.as_ref().err().map(|(_, stage)| *stage);
        supervise::panic_in("end", &cell.source);
        self.settle(cell, number, &attempt, failed_at, host);
        self.at_risk.clear();
        outcome.map_err(|(failure, _)| failure)
    }

    /// Compiles the cell, and again with a corrected plan where rustc asks for one.
    fn compile(
        &mut self,
        cell: &Cell,
        id: usize,
        number: usize,
        lent: &[(String, Variable)],
        mut kept: Vec<KeptItem>,
        host: &mut dyn Host,
    ) -> Result<Attempt, Failure> {
        let lent: Vec<(&String, &Variable)> = lent.iter().map(|(name, variable)| (name, variable)).collect();
        let runs = !cell.statements.is_empty() || cell.tail.is_some();
        let has_static = cell.items.iter().any(CellItem::is_static);
        let goal = if runs || has_static { Goal::Library } else { Goal::Check };
        let name = format!("cell_{id}");
        let mut plan = Plan::default();
        let mut remarks = Vec::new();
        let mut types = None;
        // What is defined anew may break what was built on the old: all items are looked at then.
        let mut all = lock(&self.state).items.len() != kept.len();
        loop {
            self.timed.attempts += 1;
            let items = match all {
                true => kept.iter().enumerate().collect(),
                false => reach::reached(cell, &lent, &kept),
            };
            let mentions = |name: &str| {
                cell.words.contains(name)
                    || items.iter().any(|(_, item)| item.mentions(name))
                    || lent.iter().any(|(_, variable)| variable.mentions(name))
            };
            let deps = self.dependencies_for(mentions);
            let world = World { items: &items, deps: deps.as_deref() };
            let source = Source::library(id, cell, world, &lent, &plan);
            let compiler = &self.compiler;
            let (compiled, found) = std::thread::scope(|scope| {
                let lent = &lent;
                let find = move || {
                    supervise::catch(|| {
                        supervise::panic_in("types", &cell.source);
                        types::find(compiler, id, cell, world, lent)
                    })
                };
                // A type may be nested as deeply as the code that made it.
                let thread = Builder::new().name("types".to_owned()).stack_size(nesting::STACK);
                let finding = types.is_none().then(|| thread.spawn_scoped(scope, find));
                let compiled = compiler.compile(&name, &source, goal);
                let found = match finding {
                    None => Ok(None),
                    Some(Ok(finding)) => match finding.join() {
                        Ok(Ok(found)) => found.map(Some),
                        Ok(Err(sentence)) => Err(anyhow::Error::msg(sentence)),
                        Err(_) => Err(anyhow::Error::msg("the types of the variables were not found")),
                    },
                    Some(Err(error)) => Err(error.into()),
                };
                (compiled, found)
            });
            let compiled = compiled.map_err(|error| {
                Failure::new("CompilerError", format!("{error:#}; {}", crate::bundle::MEND))
            })?;
            if compiled.interrupted {
                return Err(Failure::interrupted("while the cell was compiled; nothing has changed"));
            }
            // Without its variables' types a cell would run, and they would be gone without a word.
            let found = found.map_err(|error| Failure::new("KernelError", format!("{error:#}")))?;
            types = found.or(types);
            if compiled.errors.is_empty() {
                let types = types.unwrap_or_default();
                // Not before: what is said of a cell that does not compile would not be so.
                remarks.dedup();
                remarks.iter().for_each(|remark: &String| host.remark(remark));
                return Ok(Attempt { library: compiled.library, source, deps, plan, kept, types });
            }
            log::debug!("cell {id}:\n{}\n{:#?}", source.text, compiled.errors);
            let left_out = items.len() < kept.len();
            // Each correction settles one variable or item at least, so this ends.
            if plan::correct(&compiled.errors, &source, cell, &mut plan, &mut kept, &mut remarks) {
                continue;
            }
            if source.ends.len() > 1 && plan::may_be_of_stages(&compiled.errors) {
                plan = Plan { in_one: true, unreadable: plan.unreadable, ..Plan::default() };
                remarks.retain(|remark| !remark.contains(plan::IS_NOT_KEPT));
                continue;
            }
            if !left_out {
                return Err(self.compile_failure(&compiled.errors, &source, cell, number));
            }
            // A name that a macro puts together is found only this way.
            (all, types) = (true, None);
        }
    }

    /// Runs a compiled cell to its end, whatever end that is.
    ///
    /// # Errors
    /// Why it failed, and in which stage of the source, where it got that far.
    fn run(
        &mut self,
        library: &Path,
        attempt: &Attempt,
        id: usize,
        number: usize,
        host: &mut dyn Host,
    ) -> Result<(), (Failure, Option<usize>)> {
        let interrupts = Arc::clone(&self.interrupts);
        let needs = self.libraries_of(attempt.deps.as_ref());
        let worker = self.worker().map_err(|failure| (failure, None))?;
        if !interrupts.running(worker.running()) {
            return Err((Failure::interrupted("before the cell ran"), None));
        }
        let mut failure = None;
        let mut asking = false;
        // Where the worker is gone already, its end is the next thing that it has to say.
        let _ = worker.run(&needs, library, &format!("glisten_cell_{id}"));
        self.awaits_worker = true;
        loop {
            let reply = self.worker().map_err(|failure| (failure, None))?.next();
            // Noted at once: what panics over a reply must not wait for it again.
            self.asks |= matches!(reply, Reply::Ask { .. });
            self.awaits_worker = !matches!(reply, Reply::Done(_));
            supervise::panic_in("run", &attempt.source.text);
            match reply {
                Reply::Result(data) => host.result(data),
                Reply::Error { ename, evalue, mut traceback, place } => {
                    if let Some((Origin::Cell(line), column)) =
                        place.map(|(l, c)| (attempt.source.origin(l), c))
                    {
                        traceback.push(format!("at In [{number}]:{line}:{column}"));
                    }
                    failure = Some(Failure { ename, evalue, traceback });
                }
                Reply::Ask { prompt, password } => {
                    asking = host.ask(&prompt, password);
                    if !asking {
                        self.answer(None);
                    }
                }
                Reply::Answer(text) if asking => {
                    asking = false;
                    self.answer(Some(&text));
                }
                Reply::Answer(_) => {}
                Reply::Done(stage) => {
                    return failure.map_or(Ok(()), |failure| Err((failure, stage)));
                }
                Reply::Exited => return Err((self.worker_ended(interrupts.idle()), None)),
            }
        }
    }

    /// After the run: which variables there are now. `failed_at` is the stage that failed, if one did; without a number where
    /// the cell was not run at all, or the worker died of it.
    fn settle(
        &mut self,
        cell: &Cell,
        number: usize,
        attempt: &Attempt,
        failed_at: Option<Option<usize>>,
        host: &mut dyn Host,
    ) {
        let succeeded = failed_at.is_none();
        let plan = &attempt.plan;
        let is_new = |name: &String| cell.variables.iter().any(|variable| variable.name == *name);
        let mut forget = Vec::new();
        let mut state = lock(&self.state);
        for name in plan.gone.iter().filter(|_| succeeded) {
            state.lose(name, format!("was moved in [{number}]"));
        }
        if succeeded {
            for (name, ty) in &attempt.types {
                match ty {
                    _ if plan.left_out.contains(name) => {
                        if plan.by_value.contains(name) {
                            state.lose(name, format!("was moved in [{number}]"));
                        }
                    }
                    Some(ty) => state.gain(name, ty.clone()),
                    None => {
                        host.remark(&format!(
                            "`{name}` is of a type that has no name (a closure's, an `impl Trait`), so it is not kept\n"
                        ));
                        state.lose(name, format!("was of a type without a name in [{number}]"));
                        forget.push(name.clone());
                    }
                }
            }
        } else {
            let moved: Vec<&String> = plan
                .by_value
                .iter()
                .chain(&plan.gone)
                .filter(|name| state.variables.contains_key(*name))
                .collect();
            for name in &moved {
                state.lose(name, format!("was moved into [{number}], which failed"));
            }
            let names: Vec<String> = moved.iter().map(|name| format!("`{name}`")).collect();
            if !names.is_empty() {
                host.remark(&format!("moved into the cell and lost with it: {}\n", names.join(", ")));
            }
        }
        if failed_at.flatten().is_some() && attempt.source.ends.len() == 1 && cell.bindings.len() > 1 {
            let names: Vec<String> = cell.variables.iter().map(|new| format!("`{}`", new.name)).collect();
            host.remark(&format!("not kept, since this cell can only be kept whole: {}\n", names.join(", ")));
        }
        // What was finished before the cell failed.
        let end = failed_at.flatten().and_then(|stage| attempt.source.ends.get(stage));
        for name in end.into_iter().flat_map(|end| &end.lost) {
            state.lose(name, format!("took another value in [{number}], which failed"));
        }
        for name in end.into_iter().flat_map(|end| &end.kept) {
            match attempt.types.iter().find(|(other, _)| other == name) {
                Some((_, Some(ty))) => state.gain(name, ty.clone()),
                _ => {
                    state.lose(name, format!("was of a type without a name in [{number}]"));
                    forget.push(name.clone());
                }
            }
        }
        debug_assert!(attempt.types.iter().all(|(name, _)| is_new(name)));
        drop(state);
        self.forget(&forget);
    }

    /// After a panic of the kernel's own, in cell `number`: the next one finds everything as it was before. What that cell made
    /// or moved is gone, since nobody knows how far it came.
    pub(crate) fn recover(&mut self, number: usize) {
        // Nobody is left who would ask the user.
        if self.asks {
            self.answer(None);
        }
        while std::mem::take(&mut self.awaits_worker) {
            match self.worker.as_ref().map(Worker::next) {
                Some(Reply::Done(_)) | None => {}
                Some(Reply::Exited) => {
                    let _ = self.worker_ended(false);
                }
                Some(reply) => {
                    self.awaits_worker = true;
                    if matches!(reply, Reply::Ask { .. }) {
                        self.answer(None);
                    }
                }
            }
        }
        let names = std::mem::take(&mut self.at_risk);
        for name in &names {
            lock(&self.state).lose(name, format!("was lost when the kernel itself failed in [{number}]"));
        }
        self.forget(&names);
        self.interrupts.idle();
    }

    /// Hands the cell that runs the user's answer, or that there is none.
    fn answer(&mut self, text: Option<&str>) {
        self.asks = false;
        // A worker that is gone says so itself.
        let _ = self.worker.as_mut().map(|worker| worker.answer(text));
    }

    fn drop_orphans(&mut self, orphans: &[String], host: &mut dyn Host) {
        for name in orphans {
            host.remark(&format!("`{name}` was of a type that is now another, so it is gone\n"));
            lock(&self.state).lose(name, "was of a type that was defined anew");
        }
        self.forget(orphans);
    }

    fn forget(&mut self, names: &[String]) {
        if let Some(worker) = self.worker.as_mut().filter(|_| !names.is_empty()) {
            // A worker that is gone has forgotten them already.
            let _ = worker.forget(names);
        }
    }

    fn worker(&mut self) -> Result<&mut Worker, Failure> {
        if self.worker.is_none() {
            let started = Worker::start(self.compiler.bundle(), Arc::clone(&self.publish));
            self.worker = Some(started.map_err(|error| Failure::new("WorkerError", format!("{error:#}")))?);
        }
        self.worker.as_mut().ok_or_else(|| Failure::new("WorkerError", "the worker is gone".to_owned()))
    }

    /// The worker has died: says how and what was lost, and starts another.
    fn worker_ended(&mut self, interrupted: bool) -> Failure {
        (self.awaits_worker, self.asks) = (false, false);
        let how = self.worker.take().map_or_else(|| "ended".to_owned(), Worker::end);
        self.deps.loaded.clear();
        let why = if interrupted { "was ended by the stop button".to_owned() } else { how.clone() };
        let lost = lock(&self.state).worker_lost(&format!("was lost when the process {why}"));
        let lost = lost_sentence(&lost);
        // The next worker loads the prelude while the user reads this.
        let restart = self.worker().err().map(|failure| format!("; {}", failure.evalue)).unwrap_or_default();
        if interrupted {
            let what = format!(
                "the cell did not end by itself, so its process was ended. {lost}; items are kept{restart}"
            );
            Failure::interrupted(&what)
        } else {
            Failure::new(
                "ProcessEnded",
                format!("the process that runs the cells {how}. {lost}; items are kept{restart}"),
            )
        }
    }

    fn compile_failure(&self, errors: &[Diagnostic], source: &Source, cell: &Cell, number: usize) -> Failure {
        let state = lock(&self.state);
        let mut traceback = Vec::new();
        for error in errors {
            let mut text = error.render(source, &cell.source, number);
            let name = plan::quoted(&error.message).filter(|_| error.code() == "E0425");
            if let Some((name, fate)) = name.as_ref().and_then(|name| Some((name, state.fate(name)?))) {
                text.push_str(&format!("\n  = `{name}` {fate}"));
            }
            traceback.push(text);
        }
        let (ename, evalue) = match errors.first() {
            Some(first) => (first.ename(), first.message.clone()),
            None => ("error".to_owned(), "rustc failed without a word".to_owned()),
        };
        Failure { ename, evalue, traceback }
    }
}

impl Failure {
    /// A failure in one sentence.
    pub(crate) fn new(ename: &str, evalue: String) -> Self {
        let traceback = vec![format!("\x1b[1;31m{ename}\x1b[0m: {evalue}")];
        Self { ename: ename.to_owned(), evalue, traceback }
    }

    fn interrupted(what: &str) -> Self {
        Self::new("KeyboardInterrupt", what.to_owned())
    }

    fn too_deep(deep: TooDeep, number: usize) -> Self {
        let TooDeep { depth, line } = deep;
        let most = nesting::LIMIT;
        Self::new(
            "NestingError",
            format!(
                "line {line} of In [{number}] is nested {depth} deep, counting brackets and the operators of one expression; \
                 at most {most} are read. Split it by `let`, or read such data from a file"
            ),
        )
    }

    fn syntax(error: &cell::ParseError, code: &str, number: usize) -> Self {
        let (start, end) = ((error.start.line, error.start.column), (error.end.line, error.end.column));
        let drawn = diagnostic::render_syntax(&error.message, code, number, start, end);
        Self { ename: "SyntaxError".to_owned(), evalue: error.message.clone(), traceback: vec![drawn] }
    }
}

fn lost_sentence(names: &[String]) -> String {
    match names {
        [] => "No variables were lost".to_owned(),
        names => format!("These variables are lost: {}", names.join(", ")),
    }
}

/// Locks the state; a thread that panicked with it held has changed it in whole steps.
pub(crate) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
