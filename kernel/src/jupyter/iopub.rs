//! What everybody sees: status, streams, results, displays, errors.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jupyter_protocol::{ClearOutput, ErrorOutput, ExecuteInput, IoPubWelcome, StreamContent};
use serde::Serialize;
use serde_json::{Value, json};

use super::channel::{Frames, Outbox};
use super::wire::Signer;
use crate::worker::Publish;

/// The publishing side of the kernel.
pub(crate) struct Iopub {
    outbox: Outbox,
    signer: Signer,
    session: String,
    /// The header of the cell that ran last: output of threads that outlive it still belongs to it.
    parent: Mutex<Value>,
}

impl Iopub {
    pub(super) fn new(outbox: Outbox, signer: Signer, session: String) -> Self {
        Self { outbox, signer, session, parent: Mutex::default() }
    }

    /// From now on the output is that of the cell with this header.
    pub(super) fn set_parent(&self, header: &Value) {
        self.parent().clone_from(header);
    }

    /// Publishes a message about the request with the header `parent`.
    pub(super) fn send(&self, msg_type: &str, parent: &Value, content: &impl Serialize) {
        let topic = [msg_type.as_bytes().to_vec()];
        self.outbox.send(self.signer.encode(&self.session, msg_type, &topic, parent, content));
    }

    pub(super) fn status(&self, state: &str, parent: &Value) {
        self.send("status", parent, &json!({"execution_state": state}));
    }

    pub(super) fn input(&self, code: &str, count: usize, parent: &Value) {
        let content = ExecuteInput { code: code.to_owned(), execution_count: count.into() };
        self.send("execute_input", parent, &content);
    }

    pub(super) fn error(&self, failure: &crate::eval::Failure, parent: &Value) {
        let crate::eval::Failure { ename, evalue, traceback } = failure.clone();
        self.send("error", parent, &ErrorOutput { ename, evalue, traceback });
    }

    /// Answers a new subscription (`1` and the topic) with `iopub_welcome`.
    pub(super) fn welcome(&self, frames: &Frames) -> Option<Frames> {
        let (1, topic) = frames.first()?.split_first()? else { return None };
        let content = IoPubWelcome::new(String::from_utf8_lossy(topic).into_owned());
        // The topic is the subscription, so that whoever subscribed gets it.
        let routing = [topic.to_vec()];
        Some(self.signer.encode(&self.session, "iopub_welcome", &routing, &Value::Null, &content))
    }

    fn parent(&self) -> MutexGuard<'_, Value> {
        self.parent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_for_cell(&self, msg_type: &str, content: &impl Serialize) {
        let parent = self.parent().clone();
        self.send(msg_type, &parent, content);
    }
}

impl Publish for Iopub {
    fn stream(&self, is_stderr: bool, text: &str) {
        let content = if is_stderr { StreamContent::stderr(text) } else { StreamContent::stdout(text) };
        self.send_for_cell("stream", &content);
    }

    fn display(&self, data: Value, metadata: Value, display_id: Option<String>, update: bool) {
        let transient = display_id.map_or_else(|| json!({}), |id| json!({"display_id": id}));
        let metadata = if metadata.is_object() { metadata } else { json!({}) };
        let msg_type = if update { "update_display_data" } else { "display_data" };
        self.send_for_cell(msg_type, &json!({"data": data, "metadata": metadata, "transient": transient}));
    }

    fn clear(&self, wait: bool) {
        self.send_for_cell("clear_output", &ClearOutput { wait });
    }
}
