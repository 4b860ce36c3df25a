//! One question to the daemon: GraphQL over HTTP over its socket.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::trouble::{Process, Trouble};

/// How long the daemon may take to look something up. It gives up by itself after 5 s; then it says
/// so.
const PATIENCE: Duration = Duration::from_secs(6);

/// How long it may take to read a configuration; it gives up by itself after 30 s.
const RELOAD: Duration = Duration::from_secs(35);

/// The longest answer that is read: some ten times that of a network of 1,000 sites.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    /// How long to wait, whatever is asked.
    patience: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
struct Extensions {
    #[serde(default)]
    code: String,
}

impl Client {
    pub(crate) const fn new(socket: PathBuf, patience: Option<Duration>) -> Self {
        Self { socket, patience }
    }

    /// Asks, and gives the `data` of the answer.
    pub(crate) async fn ask(&self, query: &str, variables: &Value) -> Result<Value, Trouble> {
        self.ask_for(PATIENCE, query, variables).await
    }

    /// Has a configuration read, which takes longer.
    pub(crate) async fn reload(&self, mutation: &str) -> Result<Value, Trouble> {
        self.ask_for(RELOAD, mutation, &Value::Null).await
    }

    async fn ask_for(
        &self,
        patience: Duration,
        query: &str,
        variables: &Value,
    ) -> Result<Value, Trouble> {
        let patience = self.patience.unwrap_or(patience);
        let mut process = None;
        let question = json!({ "query": query, "variables": variables });
        let exchange = self.exchange(question, &mut process);
        let answer = tokio::time::timeout(patience, exchange).await;
        let body = answer.map_err(|_| Trouble::Silent {
            socket: self.socket.clone(),
            patience,
            process: process.map(Process::of),
        })??;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| Trouble::NotUnderstood(error.to_string()))?;
        match (answer.errors.into_iter().next(), answer.data) {
            (Some(problem), _) => Err(problem.into()),
            (None, Some(data)) => Ok(data),
            (None, None) => Err(Trouble::NotUnderstood("neither data nor errors".to_owned())),
        }
    }

    /// `process` becomes that of the daemon.
    async fn exchange(&self, body: Value, process: &mut Option<i32>) -> Result<Bytes, Trouble> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| no_connection(&self.socket, &error))?;
        *process = stream.peer_cred().ok().and_then(|it| it.pid());
        let broken = |error: hyper::Error| self.unreachable(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // It ends with the sender; what goes wrong in it, the sender is told.
        tokio::spawn(connection);
        let request = hyper::Request::post("/graphql")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| self.unreachable(&error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let body = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await;
        Ok(body.map_err(|error| self.unreachable(&error))?.to_bytes())
    }

    fn unreachable(&self, error: &dyn ToString) -> Trouble {
        Trouble::Unreachable(self.socket.clone(), error.to_string())
    }
}

fn no_connection(socket: &Path, error: &io::Error) -> Trouble {
    let is_socket = std::fs::metadata(socket).map(|found| found.file_type().is_socket());
    let socket = socket.to_owned();
    if let Ok(false) = is_socket {
        return Trouble::NotASocket(socket);
    }
    if error.kind() == io::ErrorKind::NotFound {
        Trouble::NoSocket(socket)
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        Trouble::NobodyListens(socket)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Trouble::Forbidden(socket)
    } else {
        Trouble::Unreachable(socket, error.to_string())
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        match problem.extensions.code.as_str() {
            "NOT_FOUND" => Self::NotFound(problem.message),
            "BAD_INPUT" => Self::Usage(problem.message),
            "INVALID_QUERY" => Self::NotUnderstood(problem.message),
            _ => Self::Daemon(problem.message),
        }
    }
}
