//! The words and numbers of the file.

mod intent;
mod names;
mod net;
mod numbers;
mod traffic;
mod units;
mod words;

pub(crate) use intent::{ClassKind, ExtentWord, KindWord, NetworkKind, PolicyKind, SiteKind};
pub(crate) use names::{LabelKey, LabelValue, Line, Password, PasswordFile};
pub(crate) use net::{EndpointWord, GatewayWord, Network, Selector};
pub(crate) use numbers::{Count, Mask, RouteProtocol, Version};
pub use traffic::parse_dscp;
pub(crate) use traffic::{
    ActionWord, AdvertiseWord, Code, PortRange, QosWord, StrategyWord, default_dscp, show_dscp,
};
pub(crate) use units::{Bandwidth, Percent, Span, Switch};
