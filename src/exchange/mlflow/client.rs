//! Talking to an MLflow server: its address and credentials, one request, and trying again where that makes sense.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exchange::artifacts::Content;
use crate::interrupt;

/// How long a server may take to say anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How much of an answer is quoted in an error.
const QUOTED: usize = 300;

/// An MLflow server, as `mlflow server` starts it: where it is, and who asks.
#[derive(Clone)]
pub struct MlflowServer {
    uri: reqwest::Url,
    credentials: Credentials,
    tries: u32,
    first_pause: Duration,
}

#[derive(Clone)]
enum Credentials {
    None,
    Token(String),
    Password { user: String, password: String },
}

impl std::fmt::Debug for MlflowServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MlflowServer").field("uri", &self.shown()).finish_non_exhaustive()
    }
}

impl MlflowServer {
    /// The server at `uri` (`http://…` or `https://…`, of which the certificate is checked against those the system trusts;
    /// `SSL_CERT_FILE` names others). As MLflow's own client does, it takes credentials from the environment:
    /// `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, else `MLFLOW_TRACKING_TOKEN`.
    ///
    /// # Errors
    /// [`Error::Argument`] for anything but such an address: MLflow's folders and databases are written by a server only.
    pub fn new(uri: &str) -> Result<Self> {
        let expected = "the http:// or https:// address of an MLflow server, as http://127.0.0.1:5000";
        let refused = || Error::argument("MLflow uri", expected, format!("'{uri}'"));
        let parsed = reqwest::Url::parse(uri.trim()).map_err(|_| refused())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(refused());
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let credentials = match (variable("MLFLOW_TRACKING_USERNAME"), variable("MLFLOW_TRACKING_PASSWORD")) {
            (Some(user), Some(password)) => Credentials::Password { user, password },
            _ => variable("MLFLOW_TRACKING_TOKEN").map_or(Credentials::None, Credentials::Token),
        };
        Ok(Self { uri: parsed, credentials, tries: 6, first_pause: Duration::from_millis(500) })
    }

    /// The server that `MLFLOW_TRACKING_URI` names.
    ///
    /// # Errors
    /// [`Error::Argument`] if the variable is not set, or as [`MlflowServer::new`].
    pub fn from_environment() -> Result<Self> {
        let uri = std::env::var("MLFLOW_TRACKING_URI").unwrap_or_default();
        if uri.is_empty() {
            return Err(Error::argument(
                "MLFLOW_TRACKING_URI",
                "an MLflow server's address",
                "nothing: it is not set",
            ));
        }
        Self::new(&uri)
    }

    /// Shows this token (`Authorization: Bearer …`).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Shows this name and password (`Authorization: Basic …`).
    pub fn password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::Password { user: user.into(), password: password.into() };
        self
    }

    /// How often a request is tried in all (6 by default), and the pause after the first try (half a second), which doubles
    /// each time. Tried again is what may pass: a connection that breaks, and the answers 408, 429 and 5xx; a server's
    /// `Retry-After` is kept to.
    pub fn tries(mut self, tries: u32, first_pause: Duration) -> Self {
        self.tries = tries.max(1);
        self.first_pause = first_pause;
        self
    }

    /// The address without a password that may stand in it.
    pub(super) fn shown(&self) -> String {
        let mut uri = self.uri.clone();
        // These fail for addresses without a host only, of which there are none here.
        let _ = uri.set_username("");
        let _ = uri.set_password(None);
        uri.to_string().trim_end_matches('/').to_owned()
    }
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another try may succeed, after `wait` where the server said so.
    Passing { what: String, wait: Option<Duration> },
    /// The server's refusal.
    Refused { status: u16, code: String, message: String },
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A server being talked to.
pub(super) struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    server: MlflowServer,
}

impl Client {
    pub(super) fn new(server: &MlflowServer) -> Result<Self> {
        let failed = |what: String| Error::Server {
            url: server.shown(),
            doing: "getting ready to connect".to_owned(),
            what,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let builder = reqwest::Client::builder()
            .user_agent(concat!("glisten/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(PATIENCE)
            // Servers close idle connections after a few seconds; sending into one that is about to close fails.
            .pool_idle_timeout(Duration::from_secs(2))
            // Loading the system's certificates takes a moment that plain http need not wait for.
            .tls_built_in_root_certs(server.uri.scheme() == "https");
        let http = builder.build().map_err(|error| failed(sentence(&error)))?;
        Ok(Self { http, runtime, server: server.clone() })
    }

    /// The server's address, to show.
    pub(super) fn shown(&self) -> String {
        self.server.shown()
    }

    /// Calls `call` until it succeeds, is refused, or has failed so often that another try is not worth it.
    ///
    /// # Errors
    /// [`Error::Server`] that says what was being done and how it failed last.
    pub(super) fn with_retries<T>(
        &self,
        doing: &str,
        mut call: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut pause = self.server.first_pause;
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            interrupt::check()?;
            let what = match call() {
                Ok(value) => return Ok(value),
                Err(Failure::Passing { wait, .. }) if n_tries < self.server.tries => {
                    sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE))?;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    continue;
                }
                Err(Failure::Passing { what, .. }) if self.server.tries == 1 => what,
                Err(Failure::Passing { what, .. }) => format!(
                    "no success in {n_tries} tries over {:.0} s, at last: {what}. What has arrived stays there; the same \
                     export again goes on from it",
                    started.elapsed().as_secs_f64()
                ),
                Err(Failure::Refused { status, code, message }) => refusal(status, &code, &message),
                Err(Failure::Other(error)) => return Err(error),
            };
            return Err(Error::Server { url: self.shown(), doing: doing.to_owned(), what });
        }
    }

    /// One GET under `/api/2.0/mlflow/`, without a second try.
    pub(super) fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut url = self.url(&format!("api/2.0/mlflow/{endpoint}"));
        url.query_pairs_mut().extend_pairs(query);
        self.json(self.request(Method::GET, url).timeout(PATIENCE))
    }

    /// One POST under `/api/2.0/mlflow/`, without a second try.
    pub(super) fn post(&self, endpoint: &str, body: &Value) -> Result<Value, Failure> {
        let url = self.url(&format!("api/2.0/mlflow/{endpoint}"));
        let request = self.request(Method::POST, url).timeout(PATIENCE);
        self.json(request.header(CONTENT_TYPE, "application/json").body(body.to_string()))
    }

    /// The text at `path`, from the address' own root.
    pub(super) fn text(&self, path: &str) -> Result<String, Failure> {
        self.send(self.request(Method::GET, self.url(path)).timeout(PATIENCE))
    }

    /// Puts `content` at `path`, each segment of which is given as it is.
    pub(super) fn upload(&self, path: &[&str], content: &Content) -> Result<(), Failure> {
        let mut url = self.server.uri.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.request(Method::PUT, url).header(CONTENT_TYPE, "application/octet-stream");
        let request = match content {
            Content::Bytes(bytes) => request.body(bytes.clone()),
            Content::File(path) => {
                let file = crate::track::open_kept(path)?;
                let n_bytes = file.metadata().map_err(Error::io(path, "opening"))?.len();
                request.header(CONTENT_LENGTH, n_bytes).body(tokio::fs::File::from_std(file))
            }
        };
        self.send(request).map(|_| ())
    }

    fn url(&self, path: &str) -> reqwest::Url {
        let mut url = self.server.uri.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    fn request(&self, method: Method, url: reqwest::Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.server.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.bearer_auth(token),
            Credentials::Password { user, password } => request.basic_auth(user, Some(password)),
        }
    }

    fn json(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let text = self.send(request)?;
        serde_json::from_str(&text).map_err(|_| {
            Failure::Other(Error::Server {
                url: self.shown(),
                doing: "reading an answer".to_owned(),
                what: format!(
                    "expected JSON of MLflow's REST API, got {:?}; is an MLflow server there?",
                    quoted(&text)
                ),
            })
        })
    }

    fn send(&self, request: RequestBuilder) -> Result<String, Failure> {
        // `block_on` must not be called where a runtime is at work already: on a thread of its own there is none.
        let answer = std::thread::scope(|scope| {
            let sent = scope.spawn(|| {
                self.runtime.block_on(async {
                    let response = request.send().await?;
                    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let wait = wait.and_then(|secs| secs.trim().parse().ok()).map(Duration::from_secs);
                    Ok((response.status(), wait, response.text().await?))
                })
            });
            sent.join()
        });
        let answer: reqwest::Result<_> = answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (status, wait, text) = answer.map_err(|error| self.failure(&error))?;
        if status.is_success() {
            return Ok(text);
        }
        let error: Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (field("error_code"), field("message"));
        let message = if message.is_empty() { quoted(&text).to_owned() } else { message };
        let may_pass = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        if may_pass || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
            return Err(Failure::Passing { what: refusal(status.as_u16(), &code, &message), wait });
        }
        Err(Failure::Refused { status: status.as_u16(), code, message })
    }

    /// What `error` is good for: a connection that did not come about, or broke, may do better the next time.
    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() || error.is_redirect() {
            let doing = "sending a request".to_owned();
            return Failure::Other(Error::Server { url: self.shown(), doing, what: sentence(error) });
        }
        Failure::Passing { what: sentence(error), wait: None }
    }
}

/// Waits in slices, so that a stop is noticed.
fn sleep(pause: Duration) -> Result<()> {
    let end = Instant::now() + pause;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        interrupt::check()?;
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
    Ok(())
}

fn refusal(status: u16, code: &str, message: &str) -> String {
    let advice = match status {
        401 | 403 => {
            "; MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, say who asks"
        }
        404 if code.is_empty() => "; is this the address of an MLflow server?",
        _ => "",
    };
    let code = if code.is_empty() { String::new() } else { format!(" {code}") };
    format!("the server answered {status}{code}: {message}{advice}")
}

/// The causes of an error in one line; reqwest's own text leaves out the one that matters. Addresses, which may hold a
/// password, are not among them.
fn sentence(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if error.is_timeout() {
        causes.push("timed out".to_owned());
    }
    causes.dedup();
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}

fn quoted(text: &str) -> &str {
    let end = text.char_indices().nth(QUOTED).map_or(text.len(), |(at, _)| at);
    text[..end].trim()
}
