//! Traffic between nodes, and what became of it.
//!
//! Senders and receivers are threads of this process inside the nodes, so one clock measures both
//! ends. They run ahead of ordinary threads, and lost time of the machine is told apart from lost
//! packets: a blackout is counted from packets which *were* sent and did not arrive.

mod capture;
mod records;
mod tcp;
mod throughput;
mod udp;

use std::net::{IpAddr, SocketAddr};

pub use capture::Capture;
pub use records::{Blackout, Delay, FlowReport, Sample};
pub use tcp::{Stall, TcpFlow, TcpReport, TcpSpec};
pub use throughput::{Throughput, tcp_throughput};
pub use udp::{UdpReport, UdpSample, UdpSpec, UdpStream};

use crate::node::Node;

/// One end of a flow.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where the socket lives.
    pub node: Node,
    /// The local address.
    pub address: IpAddr,
    /// The local port; for the connecting end of TCP, 0 lets the kernel choose.
    pub port: u16,
}

impl Endpoint {
    /// An end of a flow.
    #[must_use]
    pub fn new(node: &Node, address: impl Into<IpAddr>, port: u16) -> Self {
        Self {
            node: node.clone(),
            address: address.into(),
            port,
        }
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}
