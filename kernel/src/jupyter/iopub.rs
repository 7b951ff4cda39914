//! What everybody sees: status, streams, results, displays, errors.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jupyter_protocol::{ClearOutput, ErrorOutput, ExecuteInput, IoPubWelcome, StreamContent};
use serde::Serialize;
use serde_json::{Value, json};

use super::channel::{Frames, PATIENCE_MS};
use super::outbox::Outbox;
use super::wire::Signer;
use crate::worker::Publish;

/// The most bytes of text in one message: as many messages as may wait for a reader are a bound in bytes too then.
const TEXT: usize = 64 << 10;

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
        self.outbox.send(self.message(msg_type, parent, content));
    }

    fn message(&self, msg_type: &str, parent: &Value, content: &impl Serialize) -> Frames {
        let topic = [msg_type.as_bytes().to_vec()];
        self.signer.encode(&self.session, msg_type, &topic, parent, content)
    }

    pub(super) fn status(&self, state: &str, parent: &Value) {
        self.send("status", parent, &json!({"execution_state": state}));
    }

    /// The cell with the header `parent` has ended.
    pub(super) fn finish(&self, parent: &Value) {
        if self.outbox.take_missed() {
            let seconds = PATIENCE_MS / 1000;
            let text = format!(
                "a front end did not read any output for {seconds} s; what came then, until it read again, it has missed\n"
            );
            self.send("stream", parent, &StreamContent::stderr(&text));
        }
        self.status("idle", parent);
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

    /// What a cell may make without end: where it is not read as fast as it is made, the cell waits.
    fn send_for_cell(&self, msg_type: &str, content: &impl Serialize) {
        let parent = self.parent().clone();
        self.outbox.send_when_there_is_room(self.message(msg_type, &parent, content));
    }
}

impl Publish for Iopub {
    fn stream(&self, is_stderr: bool, text: &str) {
        for text in pieces(text) {
            let content = if is_stderr { StreamContent::stderr(text) } else { StreamContent::stdout(text) };
            self.send_for_cell("stream", &content);
        }
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

/// `text` in pieces of [`TEXT`] bytes at most.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(TEXT));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_goes_out_in_pieces_of_whole_characters() {
        assert_eq!(pieces("").count(), 0);
        assert_eq!(pieces("a").collect::<Vec<_>>(), ["a"]);
        for text in ["a".repeat(3 * TEXT), "€".repeat(TEXT), format!("a{}", "ä".repeat(TEXT))] {
            assert!(
                pieces(&text)
                    .all(|piece| piece.len() <= TEXT && piece.len() > TEXT - 4 || text.ends_with(piece))
            );
            assert_eq!(pieces(&text).collect::<String>(), text);
        }
    }
}
