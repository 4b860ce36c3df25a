//! GraphQL over HTTP on a Unix socket.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

use crate::error::{INVALID_QUERY, with_codes};
use crate::request::{Daemon, LOOKUP, Request};
use crate::schema::{self, Schema};
use crate::session::Session;

/// The longest request that is read. The longest query of our own clients has under 4 KiB.
const LARGEST_REQUEST: usize = 256 * 1024;

/// How long open connections may finish what they are doing once we are told to stop.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct App {
    schema: Schema,
    daemon: Daemon,
}

/// Serves the API until `shutdown` completes, and a moment longer for requests under way.
///
/// Who may connect is decided by the permissions of the socket, which are the caller's business,
/// as is removing it.
///
/// # Errors
/// Of the listener.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = App {
        schema: schema::build(),
        daemon: Daemon(requests),
    };
    let (stop, mut stopped) = watch::channel(false);
    let ended = async move {
        shutdown.await;
        // Nobody listening means that the server is gone already.
        let _ = stop.send(true);
    };
    let late = async move {
        // An error means that `ended` is gone: there is nothing to wait for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        result = axum::serve(listener, router(app)).with_graceful_shutdown(ended) => result,
        () = late => {
            tracing::debug!("connections were still open when the API stopped");
            Ok(())
        }
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/graphql", post(graphql))
        .route("/graphql/schema", get(sdl))
        .route("/healthz", get(healthz))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(app)
}

async fn graphql(
    State(app): State<App>,
    body: Result<Json<async_graphql::Request>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(request)) => {
            let request = request.data(Session::new(app.daemon));
            Json(with_codes(app.schema.execute(request).await)).into_response()
        }
        Err(rejection) => {
            let problem = format!(
                "{}: send {{\"query\": \"…\", \"variables\": {{…}}}} as application/json",
                rejection.body_text()
            );
            let error = json!({ "message": problem, "extensions": { "code": INVALID_QUERY } });
            (rejection.status(), Json(json!({ "errors": [error] }))).into_response()
        }
    }
}

async fn sdl() -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], schema::sdl()).into_response()
}

/// Whether the daemon's heart beats: it is asked something, and answers.
async fn healthz(State(app): State<App>) -> Response {
    match app.daemon.ask(LOOKUP, Request::View).await {
        Ok(_) => Json(json!({ "status": "ok" })).into_response(),
        Err(failure) => {
            let body = json!({ "status": "unavailable", "problem": failure.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
