//! The relay process: threads which carry frames, and a socket to control them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::direction::Direction;
use super::packet::PacketSocket;
use super::{Cut, LinkState, Reply, Request, SOCKET};
use crate::plan::{Impairment, Profile};
use crate::sys::{self, Offload};

/// A link that the relay carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinkSpec {
    /// Its name.
    pub(crate) link: String,
    /// The interface whose other end is the router's.
    pub(crate) router_side: String,
    /// The interface whose other end is the ISP's.
    pub(crate) isp_side: String,
    pub(crate) profile: Profile,
}

struct Link {
    spec: LinkSpec,
    up: Arc<Direction>,
    down: Arc<Direction>,
    state: Mutex<State>,
}

struct State {
    cut: Option<Cut>,
    profile: Profile,
    /// Counts changes of `cut`, so that a flapping thread notices that it is out of date.
    generation: u64,
}

/// Runs the relay: reads a list of [`LinkSpec`] from the file `links`, and serves until it is
/// killed. Prints `ready` when frames flow.
///
/// # Errors
/// When an interface is missing or the control socket cannot be made.
pub(crate) fn run(links: &str) -> Result<()> {
    let specs = std::fs::read_to_string(links).with_context(|| format!("reading {links}"))?;
    let specs: Vec<LinkSpec> = serde_json::from_str(&specs)?;
    let links = specs
        .into_iter()
        .zip(1..)
        .map(|(spec, seed)| Link::start(spec, seed));
    let links: Arc<Vec<Arc<Link>>> = Arc::new(
        links
            .map(|link| Ok(Arc::new(link?)))
            .collect::<Result<_>>()?,
    );
    let listener = UnixListener::bind(SOCKET).with_context(|| format!("binding {SOCKET}"))?;
    writeln!(std::io::stdout(), "ready")?;
    for client in listener.incoming() {
        let (client, links) = (client?, Arc::clone(&links));
        std::thread::spawn(move || {
            // A client that goes away needs no answer.
            let _ = serve(client, &links);
        });
    }
    Ok(())
}

fn serve(mut client: UnixStream, links: &[Arc<Link>]) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let reply = match serde_json::from_str(&line)
            .map_err(Into::into)
            .and_then(|request| answer(request, links))
        {
            Ok(states) => Reply::Links(states),
            Err(error) => Reply::Failed(format!("{error:#}")),
        };
        writeln!(client, "{}", serde_json::to_string(&reply)?)?;
        line.clear();
    }
    Ok(())
}

fn answer(request: Request, links: &[Arc<Link>]) -> Result<Vec<LinkState>> {
    let find = |name: &str| {
        let link = links.iter().find(|link| link.spec.link == name);
        link.with_context(|| format!("the relay carries no link {name:?}"))
    };
    match request {
        Request::Status => Ok(links.iter().map(|link| link.state()).collect()),
        Request::Cut { link, cut } => {
            let link = find(&link)?;
            Link::cut(link, cut)?;
            Ok(vec![link.state()])
        }
        Request::Heal { link } => {
            let link = find(&link)?;
            link.heal()?;
            Ok(vec![link.state()])
        }
        Request::Degrade { link, up, down } => {
            let link = find(&link)?;
            link.degrade(up, down);
            Ok(vec![link.state()])
        }
    }
}

impl Link {
    fn start(spec: LinkSpec, seed: u64) -> Result<Self> {
        for interface in [&spec.router_side, &spec.isp_side] {
            disable_offloads(interface)?;
            sys::set_link(interface, true)?;
        }
        let open = |name: &str| PacketSocket::open(name).map(Arc::new);
        let (router, isp) = (open(&spec.router_side)?, open(&spec.isp_side)?);
        let (up, down) = (
            Direction::new(&spec.profile.up),
            Direction::new(&spec.profile.down),
        );
        let (up, down) = (Arc::new(up), Arc::new(down));
        let pairs = [(&up, &router, &isp), (&down, &isp, &router)];
        // The two directions of a link on different CPUs: bulk traffic keeps both busy.
        let names = [("up", 0), ("down", 1)];
        for ((direction, from, to), (name, slot)) in pairs.into_iter().zip(names) {
            let (direction, from, to) = (Arc::clone(direction), Arc::clone(from), Arc::clone(to));
            // Any odd multiplier spreads the seeds over all bits.
            let seed = (seed * 2 + slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            std::thread::Builder::new()
                .name(format!("{}-{name}", spec.link))
                .spawn(move || {
                    // A line does not get slower because a compiler runs.
                    sys::prefer_this_thread(slot);
                    direction.carry(&from, &to, seed);
                })?;
        }
        let state = State {
            cut: None,
            profile: spec.profile,
            generation: 0,
        };
        Ok(Self {
            spec,
            up,
            down,
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> LinkState {
        let state = self.lock();
        LinkState {
            link: self.spec.link.clone(),
            cut: state.cut,
            profile: state.profile,
            up: self.up.counters(),
            down: self.down.counters(),
        }
    }

    fn apply(&self, cut: Option<Cut>) -> Result<()> {
        let (tx, rx, carrier) = match cut {
            None => (false, false, true),
            Some(Cut::Carrier) => (true, true, false),
            Some(Cut::Swallow) => (true, true, true),
            Some(Cut::Tx) => (true, false, true),
            Some(Cut::Rx) => (false, true, true),
            Some(Cut::Flap { carrier, .. }) => (true, true, !carrier),
        };
        self.up.swallow(tx);
        self.down.swallow(rx);
        // The peer of an interface that is down has no carrier.
        sys::set_link(&self.spec.router_side, carrier)
    }

    fn cut(this: &Arc<Self>, cut: Cut) -> Result<()> {
        let generation = {
            let mut state = this.lock();
            state.cut = Some(cut);
            state.generation += 1;
            this.apply(state.cut)?;
            state.generation
        };
        if let Cut::Flap { down, up, .. } = cut {
            if down.0.is_zero() || up.0.is_zero() {
                bail!("a flapping link must be up and down for some time each");
            }
            let link = Arc::clone(this);
            std::thread::Builder::new()
                .name(format!("{}-flap", link.spec.link))
                .spawn(move || link.flap(cut, down.0, up.0, generation))?;
        }
        Ok(())
    }

    /// The link is down when this starts.
    fn flap(&self, cut: Cut, down: Duration, up: Duration, generation: u64) {
        for (pause, next) in [(down, None), (up, Some(cut))].into_iter().cycle() {
            std::thread::sleep(pause);
            let state = self.lock();
            // An interface that cannot be changed any more is gone with the lab.
            if state.generation != generation || self.apply(next).is_err() {
                return;
            }
        }
    }

    fn heal(&self) -> Result<()> {
        let mut state = self.lock();
        state.cut = None;
        state.generation += 1;
        state.profile = self.spec.profile;
        self.up.set(&state.profile.up);
        self.down.set(&state.profile.down);
        self.apply(None)
    }

    fn degrade(&self, up: Option<Impairment>, down: Option<Impairment>) {
        let mut state = self.lock();
        if let Some(up) = up {
            state.profile.up = up;
            self.up.set(&up);
        }
        if let Some(down) = down {
            state.profile.down = down;
            self.down.set(&down);
        }
    }
}

/// A frame on a real line has its checksum and is no longer than the MTU.
pub(crate) fn disable_offloads(interface: &str) -> Result<()> {
    use Offload::{Receive, Segmentation, TcpSegmentation, TxChecksum};
    for offload in [TxChecksum, TcpSegmentation, Segmentation, Receive] {
        sys::disable_offload(interface, offload)?;
    }
    Ok(())
}
