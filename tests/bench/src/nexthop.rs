//! Moving N routes from one interface to another: one nexthop object that all of them use, moved by
//! our fast lane, beside replacing each route.
//!
//! Everything happens in one namespace with two veths and `net.ipv4.nexthop_compat_mode` at 0, as
//! the daemon sets it. Each way goes back and forth many times; the values are medians, from the
//! call until the kernel has acknowledged. Replacing is done in the two ways in which daemons do
//! it: a message and its acknowledgement for each route, and batches of [`BATCH`] messages with
//! one acknowledgement.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use patronus_lab::{Node, Sandbox};
use patronus_linux::FastLane;
use patronus_model::ids::{ClassId, IfName, SiteNumber};
use patronus_model::layout::{KernelLayout, NexthopId};

use crate::report::{Destination, Machine, Report, Row, progress};
use crate::samples::{Samples, micros};

/// What the recipe is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How often the nexthop object is moved; routes are replaced a tenth as often.
    #[arg(long, default_value_t = 200)]
    pub moves: usize,
    #[command(flatten)]
    destination: Destination,
}

const ROUTES: [u32; 3] = [100, 1000, 10_000];
const INTERFACES: [&str; 2] = ["wan1", "wan2"];
/// Messages that are sent together.
const BATCH: usize = 200;
/// Any but the main table.
const TABLE: u32 = 100;

/// Measures, prints a table and writes the report.
///
/// # Errors
/// When there is no namespace to be had, or the kernel refuses something.
pub fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::here();
    let mut results = Vec::new();
    for routes in ROUTES {
        progress(format!("{routes} routes"));
        let measured = measure(routes, arguments.moves)?;
        let metric = format!("nexthop_move_us_{routes}");
        results.extend(measured.rows(&metric));
    }
    Report { machine, results }.publish(&arguments.destination, "nexthop")
}

/// Microseconds for moving all routes once.
struct Measured {
    nexthop: Samples,
    one_by_one: Samples,
    batches: Samples,
}

impl Measured {
    fn rows(&self, metric: &str) -> [Row; 2] {
        let ours = self.nexthop.p50();
        [
            Row::new(metric, ours, "µs").beside("routes in batches", self.batches.p50()),
            Row::new(format!("{metric}_one_by_one"), ours, "µs")
                .beside("routes one by one", self.one_by_one.p50()),
        ]
    }
}

fn measure(routes: u32, moves: usize) -> Result<Measured> {
    let sandbox = Sandbox::new("bench-nexthop")?;
    let node = stage(&sandbox)?;
    node.enter(|| {
        let one_by_one = replace(routes, 1, (moves / 20).max(2))?;
        let batches = replace(routes, BATCH, (moves / 10).max(2))?;
        Ok(Measured {
            one_by_one,
            batches,
            nexthop: move_nexthop(routes, moves)?,
        })
    })?
}

fn stage(sandbox: &Sandbox) -> Result<Node> {
    let (router, _) = (sandbox.node("router")?, sandbox.node("far")?);
    for name in INTERFACES {
        sandbox.link(("router", name), ("far", name))?;
    }
    router.sysctl(&[("net.ipv4.nexthop_compat_mode", "0")])?;
    Ok(router)
}

fn replace(routes: u32, batch: usize, times: usize) -> Result<Samples> {
    let mut routing = Routing::open()?;
    let indices = interfaces().map(nix::net::if_::if_nametoindex);
    let targets: Vec<_> = indices.collect::<Result<_, _>>()?;
    // The first round creates them.
    for target in &targets {
        routing.put_all(routes, &RouteAttribute::Oif(*target), batch)?;
    }
    let replace = |target: &u32| {
        let took = routing.put_all(routes, &RouteAttribute::Oif(*target), batch)?;
        Ok(micros(took))
    };
    targets.iter().cycle().take(times).map(replace).collect()
}

fn move_nexthop(routes: u32, times: usize) -> Result<Samples> {
    let mut lane = FastLane::open(&KernelLayout::default())?;
    let id = NexthopId::new(SiteNumber::new(2)?, ClassId::new(1)?);
    let names = interfaces().map(|name| Ok((id, name.parse::<IfName>()?)));
    let targets: Vec<_> = names.collect::<Result<_>>()?;
    let mut move_to = |target: &(NexthopId, IfName)| -> Result<Duration> {
        let start = Instant::now();
        let refused = lane.move_nexthops(std::slice::from_ref(target)).err();
        let took = start.elapsed();
        match refused.and_then(|refused| refused.errors.into_iter().next()) {
            Some(error) => Err(error).context("moving a nexthop"),
            None => Ok(took),
        }
    };
    for target in &targets {
        move_to(target)?;
    }
    Routing::open()?.put_all(routes, &RouteAttribute::NhId(id.0), BATCH)?;
    let moved = targets.iter().cycle().take(times);
    moved.map(|target| move_to(target).map(micros)).collect()
}

fn interfaces() -> impl Iterator<Item = &'static str> {
    INTERFACES.into_iter()
}

/// A socket that replaces routes.
struct Routing {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Routing {
    fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let buffer = Vec::new();
        Ok(Self { socket, buffer })
    }

    /// Creates or replaces so many routes, the last of each batch being acknowledged. Returns how
    /// long that took.
    fn put_all(&mut self, routes: u32, target: &RouteAttribute, batch: usize) -> Result<Duration> {
        let numbers: Vec<u32> = (0..routes).collect();
        let batches = numbers.chunks(batch).map(|numbers| {
            let last = numbers.len() - 1;
            let messages = numbers.iter().enumerate();
            messages
                .flat_map(|(place, number)| bytes(*number, target.clone(), place == last))
                .collect()
        });
        // Made beforehand, because this is about the kernel.
        let batches: Vec<Vec<u8>> = batches.collect();
        let start = Instant::now();
        for batch in &batches {
            self.socket.send(batch, 0)?;
            self.acknowledged()?;
        }
        Ok(start.elapsed())
    }

    fn acknowledged(&mut self) -> Result<()> {
        self.buffer.clear();
        self.buffer.reserve(8192);
        self.socket.recv(&mut self.buffer, 0)?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&self.buffer)?;
        let NetlinkPayload::Error(answer) = answer.payload else {
            anyhow::bail!("no acknowledgement");
        };
        ensure!(answer.code.is_none(), "a route was refused: {answer}");
        Ok(())
    }
}

/// The message that puts route `number`: a /24 of 11.0.0.0/8 and so on.
fn bytes(number: u32, target: RouteAttribute, acknowledge: bool) -> Vec<u8> {
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: 24,
        protocol: RouteProtocol::Other(KernelLayout::default().protocol),
        scope: match target {
            RouteAttribute::NhId(_) => RouteScope::Universe,
            _ => RouteScope::Link,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let address = Ipv4Addr::from((11 << 24) + (number << 8));
    route.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet(address)),
        RouteAttribute::Table(TABLE + u32::from(matches!(target, RouteAttribute::NhId(_)))),
        target,
    ];
    let mut header = NetlinkHeader::default();
    let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
    header.flags = if acknowledge {
        flags | NLM_F_ACK
    } else {
        flags
    };
    let payload = NetlinkPayload::from(RouteNetlinkMessage::NewRoute(route));
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}
