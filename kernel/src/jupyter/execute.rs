//! The queue of cells: one at a time, in a thread of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jupyter_protocol::{ExecuteRequest, InputRequest};
use serde_json::{Map, Value, json};

use super::Kernel;
use super::wire::Request;
use crate::bundle::Bundle;
use crate::eval::{Failure, Host, Session};
use crate::supervise;
use crate::worker::Publish;

/// What the queue holds.
pub(super) enum Job {
    Execute(Box<Request>, ExecuteRequest),
    Quit,
}

/// Runs cells and tells the front end of it.
pub(super) struct Executor<'a> {
    kernel: &'a Kernel,
    /// Without a bundle there is only the sentence to say so.
    session: Result<Session, String>,
    count: usize,
}

impl<'a> Executor<'a> {
    pub(super) fn new(kernel: &'a Kernel, bundle: anyhow::Result<Bundle>, folder: &Path) -> Self {
        let session = super::compiler(bundle, folder).map(|(compiler, broken)| {
            let publish: Arc<dyn Publish> = Arc::clone(&kernel.iopub) as Arc<dyn Publish>;
            let (state, docs) = (Arc::clone(&kernel.state), Arc::clone(&kernel.docs));
            Session::new(compiler, Arc::clone(&kernel.interrupts), publish, state, docs, broken)
        });
        Self { kernel, session, count: 0 }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(Job::Execute(request, execute)) = queue.recv() {
            let (reply, succeeded) = supervise::catch(|| self.execute(&request, &execute)).unwrap_or_else(|sentence| {
                let failure = Failure::new("KernelError", sentence);
                // The reply alone would not be shown.
                if !execute.silent {
                    self.kernel.iopub.error(&failure, &request.raw_header);
                }
                let Failure { ename, evalue, traceback } = failure;
                let reply = json!({"status": "error", "execution_count": self.count, "payload": [], "user_expressions": {},
                    "ename": ename, "evalue": evalue, "traceback": traceback});
                (reply, false)
            });
            // What stands in the queue now was sent before anybody could know of the failure. What comes after the
            // reply is meant.
            let behind: Vec<Job> =
                if !succeeded && execute.stop_on_error { queue.try_iter().collect() } else { Vec::new() };
            self.kernel.reply(&self.kernel.shell, &request, &reply);
            self.kernel.iopub.finish(&request.raw_header);
            for job in behind {
                let Job::Execute(request, _) = job else { return };
                self.abort(&request);
            }
        }
    }

    /// Runs a cell. Returns the content of the reply, and whether all went well.
    fn execute(&mut self, request: &Request, execute: &ExecuteRequest) -> (Value, bool) {
        let kernel = self.kernel;
        let parent = &request.raw_header;
        kernel.iopub.set_parent(parent);
        kernel.iopub.status("busy", parent);
        let stores = execute.store_history && !execute.silent;
        if stores {
            self.count += 1;
            kernel.history().push(self.count, &execute.code);
        }
        let count = self.count;
        if !execute.silent {
            kernel.iopub.input(&execute.code, count, parent);
        }
        supervise::panic_in("queue", &execute.code);
        let mut cell = RunningCell { kernel, request, execute, count, stores, pages: Vec::new() };
        let result = self.evaluate(&execute.code, &mut cell);
        let pages = std::mem::take(&mut cell.pages);
        let reply = match &result {
            Ok(()) => {
                let expressions = self.user_expressions(execute);
                json!({"status": "ok", "execution_count": count, "payload": pages, "user_expressions": expressions})
            }
            Err(failure) => {
                if !execute.silent {
                    kernel.iopub.error(failure, parent);
                }
                let Failure { ename, evalue, traceback } = failure;
                json!({"status": "error", "execution_count": count, "payload": [], "user_expressions": {},
                    "ename": ename, "evalue": evalue, "traceback": traceback})
            }
        };
        (reply, result.is_ok())
    }

    fn evaluate(&mut self, code: &str, host: &mut dyn Host) -> Result<(), Failure> {
        let count = self.count;
        match &mut self.session {
            Ok(session) => {
                supervise::catch(|| session.evaluate(code, count, host)).unwrap_or_else(|sentence| {
                    session.recover(count);
                    Err(Failure::new("KernelError", sentence))
                })
            }
            Err(sentence) => Err(Failure::new("BundleError", sentence.clone())),
        }
    }

    fn user_expressions(&mut self, execute: &ExecuteRequest) -> Value {
        let mut values = Map::new();
        for (name, code) in execute.user_expressions.iter().flatten() {
            let mut silent = Captured(None);
            let value = match self.evaluate(code, &mut silent) {
                Ok(()) => {
                    json!({"status": "ok", "data": silent.0.unwrap_or_else(|| json!({})), "metadata": {}})
                }
                Err(Failure { ename, evalue, traceback }) => {
                    json!({"status": "error", "ename": ename, "evalue": evalue, "traceback": traceback})
                }
            };
            values.insert(name.clone(), value);
        }
        Value::Object(values)
    }

    /// Answers a cell that stood behind one that failed.
    fn abort(&self, request: &Request) {
        let content = json!({"status": "aborted", "execution_count": self.count, "payload": [], "user_expressions": {}});
        self.kernel.busy(request, || self.kernel.reply(&self.kernel.shell, request, &content));
    }
}

/// The host of a cell that somebody sent.
struct RunningCell<'a> {
    kernel: &'a Kernel,
    request: &'a Request,
    execute: &'a ExecuteRequest,
    count: usize,
    stores: bool,
    /// What goes with the reply, for the front end's pager.
    pages: Vec<Value>,
}

impl Host for RunningCell<'_> {
    fn result(&mut self, data: Value) {
        if self.stores {
            self.kernel.history().set_output(data["text/plain"].as_str().unwrap_or_default());
        }
        if !self.execute.silent {
            let content = json!({"execution_count": self.count, "data": data, "metadata": {}});
            self.kernel.iopub.send("execute_result", &self.request.raw_header, &content);
        }
    }

    fn say(&mut self, text: &str) {
        self.kernel.iopub.stream(false, text);
    }

    fn page(&mut self, data: Value) {
        self.pages.push(json!({"source": "page", "data": data, "start": 0}));
    }

    fn remark(&mut self, text: &str) {
        self.kernel.iopub.stream(true, text);
    }

    fn ask(&mut self, prompt: &str, password: bool) -> bool {
        if self.execute.allow_stdin {
            let content = InputRequest { prompt: prompt.to_owned(), password };
            self.kernel.send_to(&self.kernel.stdin, self.request, "input_request", &content);
        }
        self.execute.allow_stdin
    }
}

/// The host of an expression that is evaluated for its value alone.
struct Captured(Option<Value>);

impl Host for Captured {
    fn result(&mut self, data: Value) {
        self.0 = Some(data);
    }
    fn say(&mut self, _: &str) {}
    fn page(&mut self, data: Value) {
        self.0 = Some(data);
    }
    fn remark(&mut self, _: &str) {}
    fn ask(&mut self, _: &str, _: bool) -> bool {
        false
    }
}
