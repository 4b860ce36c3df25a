//! What a router waits for: its disk, its kernel and its controller.

use std::collections::VecDeque;
use std::future::pending;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use patronus_identity::ControllerUrl;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::dial::Line;
use crate::error::ConnectError;
use crate::session::{Operation, SessionId};
use crate::wire::v1;

/// Things that are done one after the other.
pub(super) struct Lane<T> {
    pub(super) queue: VecDeque<(Operation, T)>,
    current: Option<BoxFuture<'static, (Operation, Result<(), String>)>>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            current: None,
        }
    }
}

impl<T> Lane<T> {
    pub(super) fn go_on<F>(&mut self, begin: impl FnOnce(T) -> F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        if self.current.is_none()
            && let Some((operation, what)) = self.queue.pop_front()
        {
            let doing = begin(what);
            self.current = Some(Box::pin(async move { (operation, doing.await) }));
        }
    }

    /// Waits for what is being done; for ever if that is nothing.
    pub(super) async fn done(&mut self) -> (Operation, Result<(), String>) {
        let done = match &mut self.current {
            Some(current) => current.await,
            None => pending().await,
        };
        self.current = None;
        done
    }
}

pub(super) enum Link {
    /// It is tried again then.
    Idle(Instant),
    Dialing(
        ControllerUrl,
        BoxFuture<'static, Result<Line, ConnectError>>,
    ),
    Open(Box<Open>),
}

pub(super) struct Open {
    pub(super) url: ControllerUrl,
    pub(super) line: Line,
    pub(super) session: SessionId,
    pub(super) up: mpsc::Sender<v1::RouterMessage>,
    pub(super) down: BoxStream<'static, Result<v1::ControllerMessage, Status>>,
    pub(super) pending: Option<v1::RouterMessage>,
    pub(super) since: Instant,
    /// The controller has said something.
    pub(super) heard: bool,
}

/// What happened on a link.
pub(super) enum Happened {
    Dial,
    Dialed(ControllerUrl, Result<Line, ConnectError>),
    Said,
    Heard(v1::ControllerMessage),
    Lost(Option<Status>),
}

impl Link {
    pub(super) async fn next(&mut self) -> Happened {
        match self {
            Self::Idle(until) => {
                sleep_until(*until).await;
                Happened::Dial
            }
            Self::Dialing(url, dialing) => {
                let dialed = dialing.await;
                Happened::Dialed(url.clone(), dialed)
            }
            Self::Open(open) => open.next().await,
        }
    }
}

impl Open {
    pub(super) async fn next(&mut self) -> Happened {
        tokio::select! {
            permit = self.up.reserve(), if self.pending.is_some() => match permit {
                Ok(permit) => {
                    permit.send(self.pending.take().unwrap_or_default());
                    Happened::Said
                }
                Err(_) => Happened::Lost(None),
            },
            heard = self.down.next() => match heard {
                Some(Ok(message)) => Happened::Heard(message),
                Some(Err(status)) => Happened::Lost(Some(status)),
                None => Happened::Lost(None),
            },
        }
    }
}
