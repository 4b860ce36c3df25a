//! Events.

mod details;

use async_graphql::{Enum, ID, Result, SimpleObject};
use patronus_model::event;
use patronus_model::view::EventRecord;

use super::{BigInt, whole_ms};
use crate::error::{Failure, Refusal};
use crate::page::{Page, PageInfo};
use crate::request::{Recorded, Request};
use crate::session::Session;
use crate::{time, words};

use details::{EventDetails, details};

/// Something that happened on the router.
#[derive(SimpleObject)]
pub(crate) struct Event {
    /// Unique; a cursor of `events`.
    id: ID,
    /// Counts up from 1 since the daemon started.
    sequence: BigInt,
    /// What kind of thing.
    kind: EventKind,
    /// When, by RFC 3339 in UTC.
    time: String,
    /// How long ago.
    ago_ms: BigInt,
    /// What, in one line for people.
    message: String,
    /// What, for programs.
    details: EventDetails,
}

impl Event {
    /// In the names that things had when it happened: what is called so now may be another thing.
    pub(crate) fn new(recorded: &Recorded) -> Self {
        let Recorded { record, names } = recorded;
        Self {
            id: cursor(record).into(),
            sequence: BigInt(record.sequence),
            kind: EventKind::from(&record.event),
            time: time::rfc3339(record.unix_millis),
            ago_ms: whole_ms(time::ago(record.unix_millis)),
            message: words::event(names, &record.event),
            details: details(names, &record.event),
        }
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(rename_items = "snake_case")]
pub(crate) enum EventKind {
    /// A configuration came into force.
    Configured,
    /// A path changed its state.
    Path,
    /// A path flaps too often to be moved to, or has calmed down.
    Dampened,
    /// An uplink can be used, or cannot any more.
    Uplink,
    /// The interface of a LAN came up, or went down or away.
    Lan,
    /// Traffic moved, or got its first path.
    Moved,
    /// Changes were carried out.
    Applied,
    /// Changes were carried out only in part.
    ApplyFailed,
    /// Something of ours was altered by somebody else, and is put back.
    Drift,
    /// A routing daemon died or came back.
    RoutingDaemon,
    /// A BGP session changed.
    BgpNeighbor,
    /// Two ordinary sites announce the same prefix.
    PrefixConflict,
    /// A site announces a prefix that overlaps one of our LANs.
    PrefixRefused,
    /// A site announces prefixes, or no longer does.
    Prefixes,
    /// A prefix that no site announced any more was forgotten.
    PrefixForgotten,
    /// Prefixes that no site announced any more were forgotten together.
    PrefixesForgotten,
    /// A configuration file was read again and refused.
    ReloadRefused,
    /// FRR could not be configured.
    RoutingRefused,
}

impl From<&event::Event> for EventKind {
    fn from(event: &event::Event) -> Self {
        use event::Event as E;
        match event {
            E::Configured { .. } => Self::Configured,
            E::Path { .. } => Self::Path,
            E::Dampened { .. } => Self::Dampened,
            E::Uplink { .. } => Self::Uplink,
            E::Lan { .. } => Self::Lan,
            E::Moved(_) => Self::Moved,
            E::Applied { .. } => Self::Applied,
            E::ApplyFailed { .. } => Self::ApplyFailed,
            E::Drift { .. } => Self::Drift,
            E::RoutingDaemon { .. } => Self::RoutingDaemon,
            E::BgpNeighbor { .. } => Self::BgpNeighbor,
            E::PrefixConflict { .. } => Self::PrefixConflict,
            E::PrefixRefused { .. } => Self::PrefixRefused,
            E::Prefixes { .. } => Self::Prefixes,
            E::Forgotten { .. } => Self::PrefixForgotten,
            E::ForgottenTogether { .. } => Self::PrefixesForgotten,
            E::ReloadRefused { .. } => Self::ReloadRefused,
            E::RoutingRefused { .. } => Self::RoutingRefused,
        }
    }
}

/// Which events are wanted.
pub(crate) struct Wanted {
    pub(crate) first: Option<u32>,
    pub(crate) after: Option<String>,
    pub(crate) last: Option<u32>,
}

/// Events that are given when nothing is said: what fits a screen.
const A_SCREENFUL: usize = 50;

/// The most events on a page.
const LARGEST_PAGE: usize = 10_000;

/// A page of events. The daemon keeps only so many, and counts from 1 again when it is restarted;
/// a cursor therefore names the time of its event as well.
pub(crate) async fn page(session: &Session, wanted: Wanted) -> Result<Page<Event>> {
    let limit = |n: Option<u32>, default| {
        n.map_or(default, |n| usize::try_from(n).unwrap_or(LARGEST_PAGE))
            .min(LARGEST_PAGE)
    };
    let (records, more) = match (wanted.last, wanted.first, &wanted.after) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            let failure = Failure::BadInput {
                argument: "last",
                value: wanted.last.unwrap_or_default().to_string(),
                problem: "cannot be used together with `first` or `after`".to_owned(),
            };
            return Err(Refusal::from(failure).into());
        }
        (last, None, None) => (newest(session, limit(last, A_SCREENFUL)).await?, false),
        (None, first, after) => {
            following(session, after.as_deref(), limit(first, LARGEST_PAGE)).await?
        }
    };
    let end_cursor = records
        .last()
        .map(|last| cursor(&last.record))
        .or(wanted.after);
    Ok(Page {
        nodes: records.iter().map(Event::new).collect(),
        page_info: PageInfo {
            has_next_page: more,
            end_cursor,
        },
    })
}

async fn newest(session: &Session, limit: usize) -> Result<Vec<Recorded>, Refusal> {
    ask(session, None, limit).await
}

/// The events behind a cursor, or all if the daemon was restarted since, and whether there are
/// more.
async fn following(
    session: &Session,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Recorded>, bool), Refusal> {
    let (mut records, known) = match after {
        None => (ask(session, Some(0), limit + 1).await?, 0),
        Some(text) => {
            let (sequence, unix_millis) = parse_cursor(text)?;
            // The event of the cursor itself is asked for too: it tells one run of the daemon
            // from another.
            let records = ask(session, Some(sequence.saturating_sub(1)), limit + 2).await?;
            match records.first() {
                Some(first) if first.record.sequence > sequence => (records, 0),
                Some(first) if first.record.unix_millis == unix_millis => (records, 1),
                Some(_) | None => (ask(session, Some(0), limit + 1).await?, 0),
            }
        }
    };
    records.drain(..known);
    let more = records.len() > limit;
    records.truncate(limit);
    Ok((records, more))
}

async fn ask(
    session: &Session,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Recorded>, Refusal> {
    session
        .ask(|reply| Request::Events {
            after,
            limit,
            reply,
        })
        .await
}

fn cursor(record: &EventRecord) -> String {
    format!("{}-{}", record.sequence, record.unix_millis)
}

fn parse_cursor(text: &str) -> Result<(u64, u64), Failure> {
    let parts = text.split_once('-');
    let numbers = parts.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or_else(|| Failure::BadInput {
        argument: "after",
        value: text.to_owned(),
        problem: "is not the cursor of an event. Use an `endCursor` or an event's `id`".to_owned(),
    })
}
