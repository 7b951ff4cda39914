//! A real `mlflow server` on loopback, and a proxy in front of it that fails as networks and servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::from_setup;

/// A server that ends with the test.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on the store `backend`, with what else belongs to it in `folder`.
    pub(crate) fn start(folder: &Path, backend: &str, more: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        // Below those that the system gives to whoever asks for any, and another one for each test, in this process or in
        // others: nobody takes it until the server has it.
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id() * 17 + 101 * COUNTER.fetch_add(1, Ordering::Relaxed);
        let ports = (0..100).map(|n| 20_000 + (first + n) % 12_000);
        let mut free = ports.filter_map(|port| TcpListener::bind(("127.0.0.1", port as u16)).ok());
        let address = free.next().unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.join("server.log")).unwrap();
        let process = mlflow()
            .args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"])
            .args(["--port", &address.port().to_string(), "--backend-store-uri", backend])
            .arg("--artifacts-destination")
            .arg(folder.join("artifacts"))
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            // Of its own group, so that its workers end with it.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut server = Self { process, address };
        let deadline = Instant::now() + Duration::from_secs(180);
        while !server.answers() {
            let log = std::fs::read_to_string(folder.join("server.log")).unwrap();
            assert!(server.process.try_wait().unwrap().is_none(), "the server ended: {log}");
            assert!(Instant::now() < deadline, "no server within three minutes: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let mut answer = String::new();
        write!(stream, "GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: a signal to the group that was made for this server.
        unsafe { libc::kill(-(self.process.id() as i32), libc::SIGKILL) };
        let _ = self.process.wait();
    }
}

/// The Python that has MLflow and TensorBoard.
pub(crate) fn mlflow() -> Command {
    let mut command = Command::new(from_setup("GLISTEN_TEST_TRACKERS"));
    command.env_remove("PYTHONPATH").env("MLFLOW_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "true");
    command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false").env("MLFLOW_ALLOW_FILE_STORE", "true");
    for name in ["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "http_proxy", "HTTP_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Runs a script of `tests/exchange` and returns the JSON that it printed last.
pub(crate) fn python(script: &str, arguments: &[&str]) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange").join(script);
    let output = mlflow().arg(path).args(arguments).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {said}{log}");
    said.lines().last().map_or(serde_json::Value::Null, |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {error}: {said}{log}"))
    })
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    Pass,
    /// The connection breaks before the server hears of it.
    Unheard,
    /// The server does it, and its answer is lost.
    Unanswered,
    /// This is answered, and the server hears nothing.
    Answer(String),
}

/// A request line and its headers, as they came.
pub(crate) type Request = String;

/// A proxy that decides on each request by its number, from 0, and its text. Without a server behind it, all must be answered.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    pub(crate) fn start(
        server: Option<SocketAddr>,
        fate: impl Fn(usize, &str) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, fate) = (requests.clone(), Arc::new(fate));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (log, fate) = (log.clone(), fate.clone());
                let Ok(client) = client else { continue };
                std::thread::spawn(move || serve(client, server, &log, &*fate));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    client: TcpStream,
    server: Option<SocketAddr>,
    log: &Mutex<Vec<Request>>,
    fate: &(impl Fn(usize, &str) -> Fate + ?Sized),
) {
    let Some((head, body)) = read_request(&client) else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(head.clone());
        log.len() - 1
    };
    let mut client = client;
    match fate(number, &head) {
        Fate::Unheard => {}
        Fate::Answer(answer) => {
            let _ = client.write_all(answer.as_bytes());
        }
        fate => {
            let mut server = TcpStream::connect(server.expect("a server behind the proxy")).unwrap();
            // One request a connection: the answer ends where the connection does.
            let head: Vec<&str> =
                head.lines().filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
            write!(server, "{}\r\nConnection: close\r\n\r\n", head.join("\r\n")).unwrap();
            server.write_all(&body).unwrap();
            let mut answer = Vec::new();
            let _ = server.read_to_end(&mut answer);
            if fate == Fate::Pass {
                let _ = client.write_all(&answer);
            }
        }
    }
}

/// Head and body of a request; `None` where none comes.
fn read_request(client: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    let mut n_body = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
            n_body = length.trim().parse().ok()?;
        }
        head.push_str(line);
        head.push('\n');
    }
    let mut body = vec![0; n_body];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
