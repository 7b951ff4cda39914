//! The Jupyter side: five channels, their messages, and the queue of cells.

mod channel;
mod complaints;
mod execute;
mod history;
mod iopub;
mod outbox;
mod requests;
mod seen;
mod wire;

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use jupyter_protocol::ConnectionInfo;

use crate::bundle::Bundle;
use crate::docs::Docs;
use crate::eval::rustc::Compiler;
use crate::eval::state::State;
use crate::interrupt::Interrupts;
use crate::temp::SessionFolder;
use channel::Channel;
use complaints::Complaints;
use execute::{Executor, Job};
use history::History;
use iopub::Iopub;
use outbox::Outbox;
use seen::Seen;
use wire::Signer;

/// What the channels' threads share.
pub(crate) struct Kernel {
    signer: Signer,
    /// What has come in on any channel.
    seen: Mutex<Seen>,
    session: String,
    iopub: Arc<Iopub>,
    shell: Outbox,
    control: Outbox,
    stdin: Outbox,
    jobs: Sender<Job>,
    quit: Sender<()>,
    interrupts: Arc<Interrupts>,
    state: Arc<Mutex<State>>,
    docs: Arc<Docs>,
    history: Mutex<History>,
    rustc_version: String,
}

/// Serves the front end that wrote `connection_file` until it asks for shutdown or a signal ends the kernel.
///
/// # Errors
/// If the connection file cannot be read, a port is taken, or there is no room for temporary files.
pub(crate) fn serve(connection_file: &Path, bundle: &Path) -> anyhow::Result<()> {
    let connection = std::fs::read_to_string(connection_file)
        .with_context(|| format!("the connection file {} cannot be read", connection_file.display()))?;
    let connection: ConnectionInfo = serde_json::from_str(&connection)
        .with_context(|| format!("{} is not a connection file", connection_file.display()))?;
    if connection.signature_scheme != "hmac-sha256" && !connection.key.is_empty() {
        anyhow::bail!("signature scheme {} is not supported, hmac-sha256 is", connection.signature_scheme);
    }
    let folder = SessionFolder::create()?;
    let interrupts = Arc::new(Interrupts::default());
    let (quit, quitting) = channel();
    crate::signals::listen(Arc::clone(&interrupts), quit.clone())?;

    let mut context = zmq::Context::new();
    let signer = Signer::new(&connection.key);
    let session = uuid::Uuid::new_v4().to_string();
    let (heartbeat, _) = Channel::bind(&context, zmq::REP, &connection.hb_url())?;
    let (iopub, iopub_out) = Channel::bind(&context, zmq::XPUB, &connection.iopub_url())?;
    let (shell, shell_out) = Channel::bind(&context, zmq::ROUTER, &connection.shell_url())?;
    let (control, control_out) = Channel::bind(&context, zmq::ROUTER, &connection.control_url())?;
    let (stdin, stdin_out) = Channel::bind(&context, zmq::ROUTER, &connection.stdin_url())?;
    let (jobs, queue) = channel();
    let publisher = Arc::new(Iopub::new(iopub_out, signer.clone(), session.clone()));
    let state = Arc::new(Mutex::new(State::default()));
    let opened = Bundle::open(bundle);
    let kernel = Arc::new(Kernel {
        signer,
        seen: Mutex::default(),
        session,
        iopub: Arc::clone(&publisher),
        shell: shell_out,
        control: control_out,
        stdin: stdin_out,
        jobs: jobs.clone(),
        quit,
        interrupts: Arc::clone(&interrupts),
        state: Arc::clone(&state),
        docs: Docs::of_bundle(bundle),
        history: Mutex::default(),
        rustc_version: opened.as_ref().map_or("unknown", Bundle::rustc_version).to_owned(),
    });

    heartbeat.serve("heartbeat", Some);
    iopub.serve("iopub", move |frames| publisher.welcome(&frames));
    for (socket, name, handle) in [
        (shell, "shell", requests::shell as fn(&Kernel, wire::Request)),
        (control, "control", requests::control),
        (stdin, "stdin", requests::stdin),
    ] {
        let kernel = Arc::clone(&kernel);
        let mut complaints = Complaints::default();
        socket.serve(name, move |frames| {
            match kernel.signer.decode(frames, &kernel.seen) {
                Ok(request) => handle(&kernel, request),
                Err(dropped) => complaints.warn(&format!("a message on {name} was dropped: {dropped}")),
            }
            None
        });
    }
    kernel.iopub.status("starting", &serde_json::Value::Null);
    kernel.docs.warm();

    let path = folder.path().to_path_buf();
    let (finished, ended) = channel::<()>();
    let executor = std::thread::Builder::new().name("execute".to_owned()).stack_size(crate::nesting::STACK);
    executor.spawn(move || {
        let _finished = finished;
        Executor::new(&kernel, opened, &path).run(&queue);
    })?;
    let _ = quitting.recv();
    interrupts.stop_all();
    let _ = jobs.send(Job::Quit);
    if ended.recv_timeout(Duration::from_secs(3)) == Err(RecvTimeoutError::Timeout) {
        log::warn!("the running cell does not end; leaving without it");
    }
    drop(folder);
    // Ends the channels' threads once what they have queued is sent.
    context.destroy().ok();
    Ok(())
}

/// A compiler that fits the bundle, and what is wrong with it otherwise.
fn compiler(
    bundle: anyhow::Result<Bundle>,
    folder: &Path,
) -> Result<(Arc<Compiler>, Option<String>), String> {
    let mut bundle = bundle.map_err(|error| format!("{error:#}"))?;
    let broken = bundle.check_compiler().err().map(|error| format!("{error:#}"));
    let compiler = Compiler::new(bundle, folder).map_err(|error| format!("{error:#}"))?;
    Ok((Arc::new(compiler), broken))
}
