//! What the API asks the daemon.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use patronus_model::change::Changes;
use patronus_model::policy::Flow;
use patronus_model::view::{BfdView, BgpView, EventRecord, Explanation, Handshakes, RouterView};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::Failure;
use crate::names::Names;

/// A question, with the place for its answer.
///
/// Whoever receives one answers when it can; dropping the sender means "I cannot". An asker that
/// has gone away in the meantime is no error.
#[derive(Debug)]
pub enum Request {
    /// The whole router; `None` while the daemon is not as far as that.
    View(oneshot::Sender<Option<Arc<RouterView>>>),
    /// The BFD sessions: ours in the order of their paths, then those of FRR.
    Bfd(oneshot::Sender<Vec<BfdView>>),
    /// When WireGuard last agreed on keys, by tunnel and peer.
    Handshakes(oneshot::Sender<Handshakes>),
    /// BGP and the routing daemons.
    Bgp(oneshot::Sender<BgpView>),
    /// Events in the order of their sequence.
    Events {
        /// `Some(n)`: the oldest ones that are kept with a sequence greater than `n`.
        /// `None`: the newest ones.
        after: Option<u64>,
        /// The most that are wanted.
        limit: usize,
        /// The answer.
        reply: oneshot::Sender<Vec<Recorded>>,
    },
    /// The newest event that moved traffic from one path to another; `None` if nothing has moved.
    LastMove(oneshot::Sender<Option<Recorded>>),
    /// What happens to a flow; `None` as above.
    Explain(Flow, oneshot::Sender<Option<Explanation>>),
    /// Forgets a prefix that no site announces any more; answers whether there was such a one.
    Forget(IpNet, oneshot::Sender<bool>),
    /// Forgets all such prefixes within one, or all there are; answers which these are.
    ForgetWithin {
        /// `None`: all.
        within: Option<IpNet>,
        /// Whether they are only to be named.
        dry_run: bool,
        /// The answer.
        reply: oneshot::Sender<Vec<IpNet>>,
    },
    /// Reads the configuration file again.
    Reload(oneshot::Sender<ReloadOutcome>),
}

/// An event, and what everything was called when it happened.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The event.
    pub record: EventRecord,
    /// The names.
    pub names: Arc<Names>,
}

/// What came of reading the configuration file again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// It is in force.
    Applied {
        /// What probably is not as it was meant.
        warnings: Vec<Diagnostic>,
        /// What it says otherwise than the one before it.
        changes: Changes,
    },
    /// It was refused and nothing has changed; at least one of these is an error.
    Refused(Vec<Diagnostic>),
}

/// A finding about the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is only a warning.
    pub warning: bool,
    /// The file.
    pub file: String,
    /// Line and column, from 1; `None` when the file as a whole is meant, because it cannot be
    /// read for example.
    pub place: Option<(u32, u32)>,
    /// The way to the value, like `sites[1].uplinks[0].public_key`; empty for the whole file.
    pub field: String,
    /// The value as the file spells it, where that can be shown.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What would be valid.
    pub help: String,
}

/// How long the daemon may take to look something up. It answers from memory, so a second is
/// already a sign of trouble; five leave room for a machine that is busy booting.
pub(crate) const LOOKUP: Duration = Duration::from_secs(5);

/// How long WireGuard may take to answer. A process of it that hangs does so for ever, and nobody
/// shall wait for that who asked about something else as well.
pub(crate) const HANDSHAKES: Duration = Duration::from_secs(1);

/// How long it may take to read, check and accept a configuration.
pub(crate) const RELOAD: Duration = Duration::from_secs(30);

/// The daemon, as the API sees it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon(pub(crate) mpsc::Sender<Request>);

impl Daemon {
    /// Asks, and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        patience: Duration,
        question: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            let asked = self.0.send(question(reply)).await;
            asked.map_err(|_| Failure::Stopping)?;
            answer.await.map_err(|_| Failure::NoAnswer)
        };
        let late = |_| Failure::Late(patience);
        timeout(patience, exchange).await.map_err(late)?
    }
}
