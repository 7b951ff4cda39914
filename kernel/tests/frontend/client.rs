//! A front end: starts a kernel with sockets of its own, waits for the IOPub welcome, sends requests and gathers replies.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use zmq::{Context, Socket, SocketType};

pub(crate) const KEY: &str = "a-key-for-tests";
/// For the slowest of all, cargo's build of a dependency on a machine that does other work too.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running kernel and the sockets to it.
pub(crate) struct Kernel {
    child: Child,
    temp: Rc<TempDir>,
    pub(crate) shell: Socket,
    pub(crate) control: Socket,
    pub(crate) stdin: Socket,
    pub(crate) iopub: Socket,
    pub(crate) heartbeat: Socket,
    counter: Cell<usize>,
    context: Context,
    /// Of shell, iopub, stdin, control and heartbeat.
    endpoints: [String; 5],
}

/// A message that came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) msg_type: String,
    pub(crate) parent: String,
    pub(crate) content: Value,
}

/// All that came of one cell.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reply: Value,
    pub(crate) messages: Vec<Message>,
}

impl Outcome {
    fn all<'a>(&'a self, msg_type: &'a str) -> impl Iterator<Item = &'a Value> {
        self.messages.iter().filter(move |m| m.msg_type == msg_type).map(|m| &m.content)
    }

    /// The contents of all messages of a type.
    pub(crate) fn contents(&self, msg_type: &str) -> Vec<Value> {
        self.all(msg_type).cloned().collect()
    }

    /// The text of `stdout` or `stderr`.
    pub(crate) fn stream(&self, name: &str) -> String {
        self.all("stream").filter(|c| c["name"] == name).filter_map(|c| c["text"].as_str()).collect()
    }

    /// The plain text of the result; empty where there is none.
    pub(crate) fn text(&self) -> String {
        self.all("execute_result").filter_map(|c| c["data"]["text/plain"].as_str()).collect()
    }

    /// The text of the result of a cell that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.reply["status"], "ok", "{self:#?}");
        self.text()
    }

    /// `ename: evalue` of a cell that must fail, and its traceback without colours.
    #[track_caller]
    pub(crate) fn failure(&self) -> (String, String) {
        assert_eq!(self.reply["status"], "error", "{self:#?}");
        let error = self.all("error").next().expect("an error on iopub");
        assert_eq!(error["ename"], self.reply["ename"]);
        let lines = error["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let traceback = plain(&lines.collect::<Vec<_>>().join("\n"));
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (format!("{}: {}", text("ename"), text("evalue")), traceback)
    }
}

/// `text` without ANSI colours.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut pieces = text.split("\x1b[");
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// The bundle that tests use.
pub(crate) fn bundle() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_glisten-kernel"))
        .ancestors()
        .nth(2)
        .map(|target| target.join("bundle"));
    let bundle = std::env::var_os("GLISTEN_BUNDLE").map(PathBuf::from).or(beside).unwrap_or_default();
    assert!(
        bundle.join("bundle.json").is_file(),
        "no notebook bundle at {}: `cargo xtask test` makes it and runs these tests",
        bundle.display()
    );
    bundle
}

impl Kernel {
    /// Starts a kernel with the tests' bundle.
    pub(crate) fn start() -> Self {
        Self::start_with(&bundle(), "ipc")
    }

    /// Starts a kernel.
    pub(crate) fn start_with(bundle: &Path, transport: &str) -> Self {
        let temp = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(temp.path().join("tmp")).expect("a folder");
        Self::start_in(Rc::new(temp), bundle, transport, &[])
    }

    /// Starts a kernel with these environment variables.
    pub(crate) fn start_with_variables(variables: &[(&str, &str)]) -> Self {
        let temp = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(temp.path().join("tmp")).expect("a folder");
        Self::start_in(Rc::new(temp), &bundle(), "ipc", variables)
    }

    /// Starts another kernel with the same folders: notebooks, cache and temporary files.
    pub(crate) fn start_beside(&self) -> Self {
        Self::start_in(Rc::clone(&self.temp), &bundle(), "ipc", &[])
    }

    fn start_in(temp: Rc<TempDir>, bundle: &Path, transport: &str, variables: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("s{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (ip, ports) = match transport {
            "ipc" => (temp.path().join(&name).display().to_string(), [1, 2, 3, 4, 5]),
            _ => ("127.0.0.1".to_owned(), free_ports()),
        };
        let connection = json!({
            "transport": transport, "ip": ip, "key": KEY, "signature_scheme": "hmac-sha256", "kernel_name": "glisten",
            "shell_port": ports[0], "iopub_port": ports[1], "stdin_port": ports[2], "control_port": ports[3],
            "hb_port": ports[4],
        });
        let file = temp.path().join(format!("{name}.json"));
        std::fs::write(&file, connection.to_string()).expect("a connection file");
        let child = Command::new(env!("CARGO_BIN_EXE_glisten-kernel"))
            .args(["run", "--connection-file"])
            .arg(&file)
            .arg("--bundle")
            .arg(bundle)
            .env("TMPDIR", temp.path().join("tmp"))
            .env("GLISTEN_CACHE", temp.path().join("cache"))
            .env("CARGO_NET_OFFLINE", "true")
            .envs(variables.iter().copied())
            .current_dir(temp.path())
            .spawn()
            .expect("the kernel starts");
        let context = Context::new();
        let endpoints = ports.map(|port| match transport {
            "ipc" => format!("ipc://{ip}-{port}"),
            _ => format!("tcp://{ip}:{port}"),
        });
        let connect = |kind: SocketType, at: usize| {
            let socket = context.socket(kind).expect("a socket");
            socket.set_linger(0).expect("linger");
            socket.set_identity(b"front-end").expect("an identity");
            if kind == zmq::SUB {
                socket.set_subscribe(b"").expect("a subscription");
            }
            socket.connect(&endpoints[at]).expect("a connection");
            socket
        };
        let kernel = Self {
            child,
            shell: connect(zmq::DEALER, 0),
            iopub: connect(zmq::SUB, 1),
            stdin: connect(zmq::DEALER, 2),
            control: connect(zmq::DEALER, 3),
            heartbeat: connect(zmq::REQ, 4),
            temp,
            counter: Cell::new(0),
            endpoints: endpoints.clone(),
            context: context.clone(),
        };
        // A status that is sent while the subscription comes in may arrive before the welcome.
        let mut welcome = kernel.receive(&kernel.iopub).expect("a message on iopub");
        if welcome.msg_type == "status" {
            welcome = kernel.receive(&kernel.iopub).expect("a welcome on iopub");
        }
        assert_eq!(
            (welcome.msg_type.as_str(), &welcome.content),
            ("iopub_welcome", &json!({"subscription": ""}))
        );
        kernel
    }

    /// Another client's socket, not connected yet, that takes in next to nothing while nobody reads it, and connects once only.
    pub(crate) fn stranger(&self, kind: SocketType) -> Socket {
        let socket = self.context.socket(kind).expect("a socket");
        socket.set_linger(0).expect("linger");
        socket.set_rcvhwm(1).expect("a mark");
        socket.set_reconnect_ivl(-1).expect("an interval");
        socket
    }

    /// Connects `socket` to the shell (0), iopub (1), stdin (2), control (3) or heartbeat (4).
    pub(crate) fn connect(&self, socket: &Socket, channel: usize) {
        socket.connect(&self.endpoints[channel]).expect("a connection");
    }

    /// The memory that the kernel's process has, in MB.
    pub(crate) fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1000
    }

    /// The folder that the kernel runs in.
    pub(crate) fn folder(&self) -> &Path {
        self.temp.path()
    }

    /// The kernel's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What lies in the kernel's temporary folder.
    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.temp.path().join("tmp")).expect("the folder");
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Sends a request and returns its message id.
    pub(crate) fn send(&self, socket: &Socket, msg_type: &str, content: &Value) -> String {
        self.counter.set(self.counter.get() + 1);
        let id = format!("{msg_type}-{}", self.counter.get());
        socket.send_multipart(frames(&id, msg_type, content, KEY), 0).expect("sent");
        id
    }

    /// The next message, if one comes in time.
    pub(crate) fn receive(&self, socket: &Socket) -> Option<Message> {
        self.receive_within(socket, PATIENCE)
    }

    /// The next message, if one comes within `patience`.
    pub(crate) fn receive_within(&self, socket: &Socket, patience: Duration) -> Option<Message> {
        let millis = i64::try_from(patience.as_millis()).expect("a short time");
        if socket.poll(zmq::POLLIN, millis).expect("poll") == 0 {
            return None;
        }
        let frames = socket.recv_multipart(0).expect("a message");
        let at = frames.iter().position(|frame| frame == b"<IDS|MSG>").expect("a delimiter");
        let [signature, parts @ ..] = &frames[at + 1..] else { panic!("no signature") };
        assert_eq!(signature, sign(&parts[..4], KEY).as_bytes(), "the kernel's signature");
        let [header, parent, _, content] =
            [0, 1, 2, 3].map(|n: usize| serde_json::from_slice::<Value>(&parts[n]).expect("JSON"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Message { msg_type: text(&header["msg_type"]), parent: text(&parent["msg_id"]), content })
    }

    /// Sends a request and returns the content of its reply.
    #[track_caller]
    pub(crate) fn ask(&self, socket: &Socket, msg_type: &str, content: &Value) -> Value {
        let id = self.send(socket, msg_type, content);
        let reply = self.receive(socket).expect("a reply");
        assert_eq!(
            (reply.parent.as_str(), reply.msg_type),
            (id.as_str(), msg_type.replace("_request", "_reply"))
        );
        reply.content
    }

    /// Sends a cell and returns its message id.
    pub(crate) fn send_cell(&self, code: &str) -> String {
        self.send(&self.shell, "execute_request", &cell(code))
    }

    /// Runs a cell to its end.
    pub(crate) fn run(&self, code: &str) -> Outcome {
        let id = self.send_cell(code);
        self.outcome(&id)
    }

    /// Gathers what comes of the request `id` until the kernel is idle again and has replied.
    #[track_caller]
    pub(crate) fn outcome(&self, id: &str) -> Outcome {
        let messages = self.until(id, |message| message.content["execution_state"] == "idle");
        let reply = self.receive(&self.shell).expect("a reply on shell");
        assert_eq!(reply.parent, id);
        Outcome { reply: reply.content, messages }
    }

    /// Gathers messages on iopub about the request `id`, up to the first that `is_last`.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, is_last: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut messages = Vec::new();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let message = self.receive(&self.iopub).expect("a message on iopub");
            if message.parent == id {
                let last = is_last(&message);
                messages.push(message);
                if last {
                    return messages;
                }
            }
        }
        panic!("the end of {id} did not come: {messages:#?}")
    }

    /// Waits for the kernel process to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the kernel does not end")
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // A worker ends with its kernel, however that ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The content of an `execute_request`.
pub(crate) fn cell(code: &str) -> Value {
    json!({"code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": true,
        "stop_on_error": true})
}

/// A message's frames.
pub(crate) fn frames(id: &str, msg_type: &str, content: &Value, key: &str) -> Vec<Vec<u8>> {
    let header = json!({"msg_id": id, "session": "tests", "username": "tester", "date": "2026-01-01T00:00:00Z",
        "msg_type": msg_type, "version": "5.4"});
    let parts = [header, json!({}), json!({}), content.clone()].map(|part| part.to_string().into_bytes());
    let mut frames = vec![b"<IDS|MSG>".to_vec(), sign(&parts, key).into_bytes()];
    frames.extend(parts);
    frames
}

fn sign(parts: &[Vec<u8>], key: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

fn free_ports() -> [u16; 5] {
    let listeners = [(); 5].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
