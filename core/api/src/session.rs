//! One GraphQL request: all its fields see the same picture of the router.

use std::sync::Arc;

use async_graphql::{Context, Result};
use patronus_model::view::Handshakes;
use tokio::sync::OnceCell;

use crate::error::{Failure, Refusal};
use crate::request::{Daemon, HANDSHAKES, LOOKUP, Request};
use crate::snapshot::Snapshot;

pub(crate) struct Session {
    pub(crate) daemon: Daemon,
    snapshot: OnceCell<Arc<Snapshot>>,
    handshakes: OnceCell<Handshakes>,
}

impl Session {
    pub(crate) fn new(daemon: Daemon) -> Self {
        Self {
            daemon,
            snapshot: OnceCell::new(),
            handshakes: OnceCell::new(),
        }
    }

    /// The session that a field belongs to.
    pub(crate) fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context.data()
    }

    /// The picture, taken when the first field asks for it.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Refusal> {
        let take = async || -> Result<Arc<Snapshot>, Failure> {
            let view = self.daemon.ask(LOOKUP, Request::View).await?;
            let view = view.ok_or(Failure::Starting)?;
            Ok(Arc::new(Snapshot::new(view)))
        };
        Ok(Arc::clone(self.snapshot.get_or_try_init(take).await?))
    }

    /// When WireGuard last agreed on keys; nothing is known of tunnels that do not answer.
    pub(crate) async fn handshakes(&self) -> &Handshakes {
        let take = async || {
            let answer = self.daemon.ask(HANDSHAKES, Request::Handshakes).await;
            answer.unwrap_or_default()
        };
        self.handshakes.get_or_init(take).await
    }

    /// Asks the daemon something that is not part of the picture.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Request,
    ) -> Result<T, Refusal> {
        Ok(self.daemon.ask(LOOKUP, question).await?)
    }
}
