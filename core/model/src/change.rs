//! What a new configuration says otherwise than the one before it.

use ipnet::IpNet;

/// All of it, and what it means for prefixes that must not leave in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The parts that are not as they were.
    pub parts: Vec<ConfigChange>,
    /// What sites had announced that are not there any more: unreachable until somebody announces
    /// it again, or it is forgotten.
    pub kept: Vec<IpNet>,
    /// What the one before kept from leaving by an uplink in the clear, of which nothing keeps all any
    /// more.
    pub opened: Vec<IpNet>,
}

/// A part of a configuration that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// What kind of part it is.
    pub part: ConfigPart,
    /// Which, where there are several; empty where there is one.
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// The keys that are not as they were, in the words of the file, where the part has several and
    /// was there before.
    pub keys: Vec<&'static str>,
}

/// What became of a part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is there no more.
    Removed,
    /// It was there, but otherwise.
    Changed,
}

/// A part of a configuration, as its sections are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigPart {
    /// What the site is called, and whether it is a hub.
    Own,
    /// The overlay's networks and our addresses.
    Overlay,
    /// An uplink, by its name.
    Uplink,
    /// A LAN, by its interface.
    Lan,
    /// Another site, by its id.
    Site,
    /// BGP but for the neighbours.
    Bgp,
    /// A BGP neighbour outside of the overlay, by its address.
    Neighbor,
    /// A traffic class, by its name.
    Class,
    /// The class of what no policy matches.
    DefaultClass,
    /// A policy, by its name.
    Policy,
    /// How paths are judged.
    Health,
    /// How our kernel objects are marked.
    Kernel,
}
