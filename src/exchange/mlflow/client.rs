//! Talking to an MLflow server: its address and credentials, one request, and trying again where that makes sense.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exchange::address::without_secrets;
use crate::exchange::artifacts::Content;
use crate::interrupt;

/// How long a server may take to say anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How much of an answer is quoted in an error, in characters: of what is no answer of MLflow's, and of a reason that it gives.
const QUOTED: usize = 300;
const REASON: usize = 2000;
/// Bytes that an answer may have: a page of runs or values takes a few at most. JSON in memory takes some times as many.
const LONGEST_ANSWER: u64 = 32 << 20;
/// Bytes of a refusal that are read.
const LONGEST_REFUSAL: u64 = 64 << 10;
/// Bytes, and pages, that a list of runs or values may have in all.
const LONGEST_LIST: u64 = 1 << 30;
const MOST_PAGES: usize = 5_000;
/// Redirects that are followed, one after the other.
const MOST_REDIRECTS: usize = 5;
/// Bytes of an artifact that are sent in a second, at least.
const SLOWEST: u64 = 64 << 10;
/// How often the stop button is looked at.
const TICK: Duration = Duration::from_millis(100);

/// An MLflow server, as `mlflow server` starts it: where it is, and who asks.
#[derive(Clone)]
pub struct MlflowServer {
    uri: Url,
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
    /// `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, else `MLFLOW_TRACKING_TOKEN`; those that stand in the address
    /// (`http://user:password@host`) come first, and no message shows them.
    ///
    /// # Errors
    /// [`Error::Argument`] for anything but such an address: MLflow's folders and databases are written by a server only.
    pub fn new(uri: &str) -> Result<Self> {
        let expected = "the http:// or https:// address of an MLflow server, as http://127.0.0.1:5000";
        let refused = || Error::argument("MLflow uri", expected, format!("'{}'", without_secrets(uri)));
        let mut parsed = Url::parse(uri.trim()).map_err(|_| refused())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(refused());
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let given = (!parsed.username().is_empty() || parsed.password().is_some())
            .then(|| (unescaped(parsed.username()), parsed.password().map(unescaped).unwrap_or_default()));
        // From here on the address itself holds nothing secret. These fail for addresses without a host only.
        let _ = parsed.set_username("");
        let _ = parsed.set_password(None);
        parsed.set_fragment(None);
        let of_environment = variable("MLFLOW_TRACKING_USERNAME").zip(variable("MLFLOW_TRACKING_PASSWORD"));
        let credentials = match given.or(of_environment) {
            Some((user, password)) => Credentials::Password { user, password },
            None => variable("MLFLOW_TRACKING_TOKEN").map_or(Credentials::None, Credentials::Token),
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

    /// The address, without what may be secret in its query.
    pub(super) fn shown(&self) -> String {
        without_secrets(self.uri.as_str()).trim_end_matches('/').to_owned()
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

/// An answer, whole.
struct Received {
    status: StatusCode,
    wait: Option<Duration>,
    location: Option<String>,
    text: String,
}

/// A server being talked to. Whatever it answers costs bounded memory and time, and is never a reason to send anything to
/// another address.
pub(super) struct Client {
    http: reqwest::Client,
    /// Without the limit on how long nothing may arrive: while an artifact is sent, nothing does.
    uploads: reqwest::Client,
    n_received: AtomicU64,
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
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("glisten/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                // Redirects are looked at here: see `fetch`.
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                // Servers close idle connections after a few seconds; sending into one that is about to close fails.
                .pool_idle_timeout(Duration::from_secs(2))
                // Loading the system's certificates takes a moment that plain http need not wait for.
                .tls_built_in_root_certs(server.uri.scheme() == "https")
        };
        let http = builder().read_timeout(PATIENCE).build().map_err(|error| failed(sentence(&error)))?;
        let uploads = builder().build().map_err(|error| failed(sentence(&error)))?;
        Ok(Self { http, uploads, n_received: AtomicU64::new(0), runtime, server: server.clone() })
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

    /// Asks for page after page of a list, of which `ask` gets each by its token, and gives each to `take`.
    ///
    /// # Errors
    /// As [`Client::with_retries`]; [`Error::Server`] for a list without an end, and for what `take` says is wrong with a page.
    pub(super) fn pages(
        &self,
        doing: &str,
        mut ask: impl FnMut(&str) -> Result<Value, Failure>,
        mut take: impl FnMut(&Value) -> Result<(), String>,
    ) -> Result<()> {
        let n_before = self.n_received.load(Ordering::Relaxed);
        let mut token = String::new();
        for _ in 0..MOST_PAGES {
            let page = self.with_retries(doing, || ask(&token))?;
            take(&page).map_err(|what| self.wrong(doing, what))?;
            match &page["next_page_token"] {
                Value::Null => return Ok(()),
                Value::String(next) if next.is_empty() || *next == token => return Ok(()),
                Value::String(next) => token.clone_from(next),
                _ => return Err(self.wrong(doing, "expected a text as 'next_page_token'".to_owned())),
            }
            if self.n_received.load(Ordering::Relaxed) - n_before > LONGEST_LIST {
                break;
            }
        }
        let most = format!("more than {MOST_PAGES} pages or {} MiB", LONGEST_LIST >> 20);
        Err(self.wrong(doing, format!("expected a list that ends, got {most} of it")))
    }

    fn wrong(&self, doing: &str, what: String) -> Error {
        Error::Server { url: self.shown(), doing: doing.to_owned(), what }
    }

    /// One GET under `/api/2.0/mlflow/`, without a second try.
    pub(super) fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut url = self.url(&format!("api/2.0/mlflow/{endpoint}"));
        url.query_pairs_mut().extend_pairs(query);
        self.json(&self.fetch(url)?)
    }

    /// One POST under `/api/2.0/mlflow/`, without a second try.
    pub(super) fn post(&self, endpoint: &str, body: &Value) -> Result<Value, Failure> {
        let url = self.url(&format!("api/2.0/mlflow/{endpoint}"));
        let request = self.request(&self.http, Method::POST, url.clone()).timeout(PATIENCE);
        let text =
            self.write(request.header(CONTENT_TYPE, "application/json").body(body.to_string()), &url)?;
        self.json(&text)
    }

    /// The text at `path`, from the address' own root.
    pub(super) fn text(&self, path: &str) -> Result<String, Failure> {
        self.fetch(self.url(path))
    }

    /// Puts `content` at `path`, each segment of which is given as it is.
    pub(super) fn upload(&self, path: &[&str], content: &Content) -> Result<(), Failure> {
        let mut url = self.server.uri.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.request(&self.uploads, Method::PUT, url.clone());
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let (request, n_bytes) = match content {
            Content::Bytes(bytes) => (request.body(bytes.clone()), bytes.len() as u64),
            Content::File(path) => {
                let file = crate::track::open_kept(path)?;
                let n_bytes = file.metadata().map_err(Error::io(path, "opening"))?.len();
                (request.header(CONTENT_LENGTH, n_bytes).body(tokio::fs::File::from_std(file)), n_bytes)
            }
        };
        let limit = PATIENCE + Duration::from_secs(n_bytes / SLOWEST);
        self.write(request.timeout(limit), &url).map(|_| ())
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.server.uri.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    fn request(&self, client: &reqwest::Client, method: Method, url: Url) -> RequestBuilder {
        let request = client.request(method, url);
        match &self.server.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.bearer_auth(token),
            Credentials::Password { user, password } => request.basic_auth(user, Some(password)),
        }
    }

    fn json(&self, text: &str) -> Result<Value, Failure> {
        match serde_json::from_str(text) {
            Ok(answer @ Value::Object(_)) => Ok(answer),
            _ => Err(Failure::Other(self.wrong(
                "reading an answer",
                format!(
                    "expected a JSON object of MLflow's REST API, got {:?}; is an MLflow server there?",
                    quoted(text, QUOTED)
                ),
            ))),
        }
    }

    /// Reads what is at `url`. A redirect is followed within the same origin only, the server's own.
    fn fetch(&self, mut url: Url) -> Result<String, Failure> {
        for _ in 0..=MOST_REDIRECTS {
            let received = self.send(self.request(&self.http, Method::GET, url.clone()).timeout(PATIENCE))?;
            let Some(to) = self.redirect(&url, &received)? else { return answered(received) };
            if to.origin() != self.server.uri.origin() {
                return Err(Failure::Other(self.led_astray(&to)));
            }
            url = to;
        }
        let what = format!("expected at most {MOST_REDIRECTS} redirects, got more");
        Err(Failure::Other(self.wrong("reading an answer", what)))
    }

    /// Sends what changes something: to the address that was meant and to no other.
    fn write(&self, request: RequestBuilder, url: &Url) -> Result<String, Failure> {
        let received = self.send(request)?;
        match self.redirect(url, &received)? {
            Some(to) => Err(Failure::Other(self.led_astray(&to))),
            None => answered(received),
        }
    }

    /// Where the answer to a request to `from` leads.
    fn redirect(&self, from: &Url, received: &Received) -> Result<Option<Url>, Failure> {
        if !received.status.is_redirection() {
            return Ok(None);
        }
        let to = received.location.as_deref().and_then(|location| from.join(location).ok());
        let nowhere = || {
            let what = format!("the server answered {} and no address", received.status.as_u16());
            Failure::Other(self.wrong("reading an answer", what))
        };
        to.map(Some).ok_or_else(nowhere)
    }

    fn led_astray(&self, to: &Url) -> Error {
        let what = format!(
            "the server redirects to {}, where nothing is sent to; if that is the MLflow server that you mean, give its \
             address",
            quoted(&without_secrets(to.as_str()), QUOTED)
        );
        self.wrong("sending a request", what)
    }

    fn send(&self, request: RequestBuilder) -> Result<Received, Failure> {
        // `block_on` must not be called where a runtime is at work already: on a thread of its own there is none.
        let received = std::thread::scope(|scope| {
            let sent = scope.spawn(|| {
                self.runtime.block_on(async {
                    let mut work = std::pin::pin!(self.receive(request));
                    loop {
                        match tokio::time::timeout(TICK, work.as_mut()).await {
                            Ok(received) => return received,
                            Err(_) => interrupt::check()?,
                        }
                    }
                })
            });
            sent.join()
        });
        received.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Sends a request and reads its answer, of which there may be only so much.
    async fn receive(&self, request: RequestBuilder) -> Result<Received, Failure> {
        let failed = |error: reqwest::Error| self.failure(&error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = header(RETRY_AFTER).and_then(|secs| secs.trim().parse().ok()).map(Duration::from_secs);
        let location = header(LOCATION).map(str::to_owned);
        let longest = if status.is_success() { LONGEST_ANSWER } else { LONGEST_REFUSAL };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            self.n_received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > longest {
                if !status.is_success() {
                    break;
                }
                let what = format!("expected an answer of at most {} MiB, got more", LONGEST_ANSWER >> 20);
                return Err(Failure::Other(self.wrong("reading an answer", what)));
            }
        }
        Ok(Received { status, wait, location, text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// What `error` is good for: a connection that did not come about, or broke, may do better the next time.
    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            let doing = "sending a request".to_owned();
            return Failure::Other(Error::Server { url: self.shown(), doing, what: sentence(error) });
        }
        Failure::Passing { what: sentence(error), wait: None }
    }
}

/// The text of an answer that is no refusal.
fn answered(Received { status, wait, text, .. }: Received) -> Result<String, Failure> {
    if status.is_success() {
        return Ok(text);
    }
    let error: Value = serde_json::from_str(&text).unwrap_or_default();
    let field = |name: &str, longest| quoted(error[name].as_str().unwrap_or_default(), longest).to_owned();
    let (code, message) = (field("error_code", QUOTED), field("message", REASON));
    let message = if message.is_empty() { quoted(&text, QUOTED).to_owned() } else { message };
    let may_pass = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    if may_pass || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
        return Err(Failure::Passing { what: refusal(status.as_u16(), &code, &message), wait });
    }
    Err(Failure::Refused { status: status.as_u16(), code, message })
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

fn quoted(text: &str, longest: usize) -> &str {
    let end = text.char_indices().nth(longest).map_or(text.len(), |(at, _)| at);
    text[..end].trim()
}

/// `%41` is `A`, as addresses write what they have no character for.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        bytes.push(code.as_ref().map_or(*first, |code| code[0]));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
