//! Answers to requests. Only cells are queued; everything else is answered at once, also while a cell runs.

use jupyter_protocol::{
    CodeMirrorMode, CommClose, CommInfoReply, CommOpen, CompleteRequest, ExecuteRequest, HelpLink,
    InputReply, InspectRequest, InterruptReply, IsCompleteReply, IsCompleteRequest, KernelInfoReply,
    LanguageInfo, ReplyStatus, ShutdownReply, ShutdownRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Kernel;
use super::execute::Job;
use super::outbox::Outbox;
use super::wire::{PROTOCOL, Request};
use crate::docs;
use crate::eval::scan::{Completeness, completeness};
use crate::supervise;

/// Handles a message of the shell channel.
pub(super) fn shell(kernel: &Kernel, request: Request) {
    if request.header.msg_type == "execute_request" {
        match content::<ExecuteRequest>(&request) {
            Some(execute) => {
                let _ = kernel.jobs.send(Job::Execute(Box::new(request), execute));
            }
            None => kernel.reply_malformed(&kernel.shell, &request),
        }
        return;
    }
    kernel.busy(&request, || supervised(kernel, &kernel.shell, &request));
}

/// Handles a message of the control channel.
pub(super) fn control(kernel: &Kernel, request: Request) {
    kernel.busy(&request, || supervised(kernel, &kernel.control, &request));
}

/// Handles a message of the stdin channel.
pub(super) fn stdin(kernel: &Kernel, request: Request) {
    match content(&request) {
        Some(InputReply { value, .. }) if request.header.msg_type == "input_reply" => {
            kernel.interrupts.answer(value);
        }
        _ => {
            log::warn!("a message on stdin was dropped that is no input_reply, or has no value that is text")
        }
    }
}

/// Answers `request`, with an error where the kernel itself panics over it.
fn supervised(kernel: &Kernel, outbox: &Outbox, request: &Request) {
    let answered = supervise::catch(|| {
        supervise::panic_if_asked(&request.content.to_string());
        answer(kernel, outbox, request);
    });
    if let Err(sentence) = answered {
        let content = json!({"status": "error", "ename": "KernelError", "evalue": sentence, "traceback": []});
        kernel.reply(outbox, request, &content);
    }
}

fn answer(kernel: &Kernel, outbox: &Outbox, request: &Request) {
    let reply = |content: Value| kernel.reply(outbox, request, &content);
    match request.header.msg_type.as_str() {
        "kernel_info_request" => kernel.reply(outbox, request, &kernel_info(kernel)),
        "is_complete_request" => match content::<IsCompleteRequest>(request) {
            Some(asked) => kernel.reply(outbox, request, &is_complete(&asked.code)),
            None => kernel.reply_malformed(outbox, request),
        },
        "complete_request" => match content::<CompleteRequest>(request) {
            Some(asked) => reply(docs::complete(&kernel.state, &kernel.docs, &asked.code, asked.cursor_pos)),
            None => kernel.reply_malformed(outbox, request),
        },
        "inspect_request" => match content::<InspectRequest>(request) {
            Some(asked) => {
                let detail = asked.detail_level == Some(1);
                reply(docs::inspect(&kernel.state, &kernel.docs, &asked.code, asked.cursor_pos, detail));
            }
            None => kernel.reply_malformed(outbox, request),
        },
        "history_request" => reply(kernel.history().answer(&request.content)),
        "comm_info_request" => kernel.reply(outbox, request, &CommInfoReply::default()),
        "comm_open" => {
            // No comm target exists: the protocol's answer to that is to close it at once.
            if let Some(CommOpen { comm_id, .. }) = content(request) {
                let close = CommClose { comm_id, data: serde_json::Map::new() };
                kernel.iopub.send("comm_close", &request.raw_header, &close);
            } else {
                log::warn!("a comm_open was dropped whose content is not what the protocol asks for");
            }
        }
        "comm_msg" | "comm_close" => {}
        "interrupt_request" => {
            kernel.interrupts.interrupt();
            kernel.reply(outbox, request, &InterruptReply::new());
        }
        // Without a content it is an end as well.
        "shutdown_request"
            if !matches!(request.content.get("restart"), None | Some(Value::Null | Value::Bool(_))) =>
        {
            kernel.reply_malformed(outbox, request);
        }
        "shutdown_request" => {
            let restart = content::<ShutdownRequest>(request).is_some_and(|asked| asked.restart);
            let content = ShutdownReply { restart, status: ReplyStatus::Ok, error: None };
            kernel.reply(outbox, request, &content);
            kernel.iopub.send("shutdown_reply", &request.raw_header, &content);
            let _ = kernel.quit.send(());
        }
        other => {
            let shown: String = other.chars().take(50).collect();
            log::warn!("no answer to messages of type {shown:?}");
        }
    }
}

impl Kernel {
    /// Does something for `request` between the statuses busy and idle.
    pub(super) fn busy(&self, request: &Request, work: impl FnOnce()) {
        self.iopub.status("busy", &request.raw_header);
        work();
        self.iopub.status("idle", &request.raw_header);
    }

    /// Answers `request` with the reply type that belongs to it.
    pub(super) fn reply(&self, outbox: &Outbox, request: &Request, content: &impl Serialize) {
        let msg_type = request.header.msg_type.replace("_request", "_reply");
        self.send_to(outbox, request, &msg_type, content);
    }

    /// Sends whoever sent `request` a message of type `msg_type`.
    pub(super) fn send_to(
        &self,
        outbox: &Outbox,
        request: &Request,
        msg_type: &str,
        content: &impl Serialize,
    ) {
        let Request { identities, raw_header, .. } = request;
        outbox.send(self.signer.encode(&self.session, msg_type, identities, raw_header, content));
    }

    pub(super) fn history(&self) -> std::sync::MutexGuard<'_, super::History> {
        self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn reply_malformed(&self, outbox: &Outbox, request: &Request) {
        let evalue = format!("the content of {} is not what the protocol asks for", request.header.msg_type);
        log::warn!("{evalue}");
        self.reply(
            outbox,
            request,
            &json!({"status": "error", "ename": "MessageError", "evalue": evalue, "traceback": []}),
        );
    }
}

fn content<T: DeserializeOwned>(request: &Request) -> Option<T> {
    serde_json::from_value(request.content.clone()).ok()
}

fn is_complete(code: &str) -> IsCompleteReply {
    match completeness(code) {
        Completeness::Complete => IsCompleteReply::complete(),
        Completeness::Incomplete(indent) => IsCompleteReply::incomplete(indent),
        Completeness::Invalid => IsCompleteReply::invalid(),
    }
}

fn kernel_info(kernel: &Kernel) -> KernelInfoReply {
    let version = kernel.rustc_version.split_whitespace().nth(1).unwrap_or("unknown");
    let link = |text: &str, url: &str| HelpLink { text: text.to_owned(), url: url.to_owned() };
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL.to_owned(),
        implementation: "glisten".to_owned(),
        implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
        language_info: LanguageInfo {
            name: "rust".to_owned(),
            version: version.to_owned(),
            mimetype: Some("text/rust".to_owned()),
            file_extension: Some(".rs".to_owned()),
            pygments_lexer: Some("rust".to_owned()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".to_owned())),
            nbconvert_exporter: Some("script".to_owned()),
        },
        banner: format!(
            "Glisten {}: Rust with GLISTER subset selection, polars and libtorch ({})\n`:help` says what there is.",
            env!("CARGO_PKG_VERSION"),
            kernel.rustc_version
        ),
        help_links: vec![
            link("Rust standard library", "https://doc.rust-lang.org/std/"),
            link("polars", "https://docs.rs/polars/"),
            link("tch", "https://docs.rs/tch/"),
        ],
        debugger: false,
        error: None,
    }
}
