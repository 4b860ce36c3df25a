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

use crate::trouble::Trouble;

/// How long the daemon may take. It gives up by itself after 30 s at the latest, when it reads a
/// configuration; then it says so.
const PATIENCE: Duration = Duration::from_secs(35);

/// The longest answer that is read: some ten times that of a network of 1,000 sites.
const LONGEST_ANSWER: usize = 256 * 1024 * 1024;

/// Where to ask.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
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
    pub(crate) const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks, and gives the `data` of the answer.
    pub(crate) async fn ask(&self, query: &str, variables: &Value) -> Result<Value, Trouble> {
        let exchange = self.exchange(json!({ "query": query, "variables": variables }));
        let late = |_| {
            let problem = format!("no answer within {} s", PATIENCE.as_secs());
            Trouble::Unreachable(self.socket.clone(), problem)
        };
        let body = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(late)??;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| Trouble::NotUnderstood(error.to_string()))?;
        match (answer.errors.into_iter().next(), answer.data) {
            (Some(problem), _) => Err(problem.into()),
            (None, Some(data)) => Ok(data),
            (None, None) => Err(Trouble::NotUnderstood("neither data nor errors".to_owned())),
        }
    }

    async fn exchange(&self, body: Value) -> Result<Bytes, Trouble> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|error| no_connection(&self.socket, &error))?;
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
