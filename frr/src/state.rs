//! What FRR says about itself, as JSON. Fields that we do not read may come and go: 10.3 only
//! added some to those of 8.4.4, and every field that we read but a few has a default.

mod bfd;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

pub use bfd::BfdPeer;

/// An answer of FRR that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not the JSON that was expected.
    #[error("FRR's answer to {command:?} is not understood")]
    Json {
        /// The command.
        command: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No version number where `show version` has it.
    #[error(
        "{0:?} is not an answer to \"show version\": it begins like \"FRRouting 8.4.4 (host)\""
    )]
    Version(String),
}

/// The version of FRR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major and minor number, for comparisons.
    pub release: (u32, u32),
    /// As FRR writes it, for people.
    pub text: String,
}

impl Version {
    /// `show version`, the form that all daemons answer.
    pub const COMMAND: &'static str = "show version";

    /// Reads the answer to [`Self::COMMAND`].
    ///
    /// # Errors
    /// [`StateError::Version`] when the first line does not name a version.
    pub fn parse(answer: &str) -> Result<Self, StateError> {
        let wrong = || StateError::Version(answer.lines().next().unwrap_or_default().to_owned());
        let text = answer
            .strip_prefix("FRRouting ")
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .ok_or_else(wrong)?;
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        let release = number().zip(number()).ok_or_else(wrong)?;
        Ok(Self {
            release,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The state of a session (RFC 4271 section 8.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Routes are exchanged.
    Established,
    /// Anything else, in FRR's word: `Idle`, `Connect`, `Active`, `Idle (Admin)`, …
    Other(String),
}

impl<'de> Deserialize<'de> for SessionState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(if word == "Established" {
            Self::Established
        } else {
            Self::Other(word)
        })
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Established => f.write_str("Established"),
            Self::Other(word) => f.write_str(word),
        }
    }
}

/// One line of the summary.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerSummary {
    /// The AS that is configured for it, or that it turned out to have.
    #[serde(default)]
    pub remote_as: u32,
    /// The state of the session.
    pub state: SessionState,
    /// Milliseconds since the session came up or went down; 0 if it never was up.
    #[serde(default)]
    pub peer_uptime_msec: u64,
    /// Prefixes received.
    #[serde(default)]
    pub pfx_rcd: u64,
    /// Prefixes sent.
    #[serde(default)]
    pub pfx_snt: u64,
    /// How often the session came up.
    #[serde(default)]
    pub connections_established: u64,
    /// How often it went down.
    #[serde(default)]
    pub connections_dropped: u64,
}

/// One address family of the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FamilySummary {
    /// Our own AS.
    #[serde(rename = "as")]
    pub local_as: u32,
    /// Prefixes in the table.
    pub rib_count: u64,
    /// The neighbours by address.
    pub peers: BTreeMap<IpAddr, PeerSummary>,
}

/// `show bgp summary json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpSummary {
    /// IPv4 sessions.
    pub ipv4_unicast: FamilySummary,
    /// IPv6 sessions.
    pub ipv6_unicast: FamilySummary,
}

impl BgpSummary {
    /// The command.
    pub const COMMAND: &'static str = "show bgp summary json";

    /// Reads the answer to [`Self::COMMAND`]; without a BGP instance it is empty.
    ///
    /// # Errors
    /// [`StateError::Json`].
    pub fn parse(answer: &str) -> Result<Self, StateError> {
        json(Self::COMMAND, answer)
    }

    /// The neighbours of both families.
    pub fn peers(&self) -> impl Iterator<Item = (IpAddr, &PeerSummary)> {
        let families = [&self.ipv4_unicast, &self.ipv6_unicast];
        families
            .into_iter()
            .flat_map(|family| &family.peers)
            .map(|(who, peer)| (*who, peer))
    }
}

/// A neighbour in detail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NeighborDetail {
    /// Its AS.
    #[serde(default)]
    pub remote_as: u32,
    /// The state of the session.
    pub bgp_state: SessionState,
    /// Milliseconds since the session came up.
    #[serde(default)]
    pub bgp_timer_up_msec: u64,
    /// Why the session last ended, in FRR's words.
    pub last_reset_due_to: Option<String>,
    /// What the notification said that ended the session, if one did.
    pub last_notification_reason: Option<String>,
    /// What the operator at the far end had to say (RFC 9003).
    pub last_shutdown_description: Option<String>,
    /// Our end of the TCP connection.
    #[serde(default, deserialize_with = "address")]
    pub host_local: Option<IpAddr>,
    /// Hold time in force, milliseconds.
    #[serde(default)]
    pub bgp_timer_hold_time_msecs: u64,
    /// Keepalive interval in force, milliseconds.
    #[serde(default)]
    pub bgp_timer_keep_alive_interval_msecs: u64,
    /// The IPv4 next hop that we announce to it.
    #[serde(default, deserialize_with = "address")]
    pub nexthop: Option<IpAddr>,
    /// The IPv6 next hop that we announce to it.
    #[serde(default, deserialize_with = "address")]
    pub nexthop_global: Option<IpAddr>,
    /// Graceful restart as negotiated.
    #[serde(default)]
    pub graceful_restart_info: GracefulRestartInfo,
    /// What bgpd knows of its BFD session.
    pub peer_bfd_info: Option<PeerBfdInfo>,
}

impl NeighborDetail {
    /// Why the session is not up, in FRR's words; `None` where it gives no reason. While it is up,
    /// these words mean nothing.
    #[must_use]
    pub fn why_down(&self) -> Option<String> {
        let mut why = self.last_reset_due_to.clone().filter(|it| !it.is_empty())?;
        if let Some(reason) = &self.last_notification_reason {
            why = format!("{why}: {reason}");
        }
        if let Some(said) = &self.last_shutdown_description {
            why = format!("{why} ({said})");
        }
        Some(why)
    }
}

/// Graceful restart (RFC 4724) of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GracefulRestartInfo {
    /// Our role in FRR's words: `Restart*`, `Helper`, `Disable`, …
    pub local_gr_mode: String,
    /// Its role.
    pub remote_gr_mode: String,
}

/// BFD as bgpd sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerBfdInfo {
    /// `Up`, `Down`, `Unknown`, …
    pub status: String,
}

/// Neighbours in detail, from `show bgp neighbors json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeighborDetails(pub BTreeMap<IpAddr, NeighborDetail>);

impl NeighborDetails {
    /// The command.
    pub const COMMAND: &'static str = "show bgp neighbors json";

    /// Reads the answer to [`Self::COMMAND`]; keys that are no addresses are left out, because
    /// without a BGP instance FRR answers with a flag instead.
    ///
    /// # Errors
    /// [`StateError::Json`].
    pub fn parse(answer: &str) -> Result<Self, StateError> {
        let all: BTreeMap<String, serde_json::Value> = json(Self::COMMAND, answer)?;
        let mut details = BTreeMap::new();
        for (key, value) in all {
            let Ok(address) = key.parse() else { continue };
            let detail = serde_json::from_value(value).map_err(|source| StateError::Json {
                command: Self::COMMAND,
                source,
            })?;
            details.insert(address, detail);
        }
        Ok(Self(details))
    }
}

/// FRR says `Unknown` and the like in place of an address that it does not know.
fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn json<'a, T: Deserialize<'a>>(command: &'static str, answer: &'a str) -> Result<T, StateError> {
    serde_json::from_str(answer).map_err(|source| StateError::Json { command, source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const V8: [&str; 4] = [
        include_str!("../tests/data/frr-8.4.4/show_version.txt"),
        include_str!("../tests/data/frr-8.4.4/show_bgp_summary_json.txt"),
        include_str!("../tests/data/frr-8.4.4/show_bgp_neighbors_json.txt"),
        include_str!("../tests/data/frr-8.4.4/show_bfd_peers_json.txt"),
    ];
    const V10: [&str; 4] = [
        include_str!("../tests/data/frr-10.3/show_version.txt"),
        include_str!("../tests/data/frr-10.3/show_bgp_summary_json.txt"),
        include_str!("../tests/data/frr-10.3/show_bgp_neighbors_json.txt"),
        include_str!("../tests/data/frr-10.3/show_bfd_peers_json.txt"),
    ];

    fn peer() -> IpAddr {
        "10.0.0.2".parse().unwrap()
    }

    #[test]
    fn the_version_is_the_second_word() {
        assert_eq!(Version::parse(V8[0]).unwrap().release, (8, 4));
        assert_eq!(Version::parse(V10[0]).unwrap().to_string(), "10.3");
        assert_eq!(
            Version::parse("FRRouting 10.5-dev (x)").unwrap().release,
            (10, 5)
        );
        assert!(Version::parse("% Unknown command").is_err());
    }

    #[test]
    fn the_summary_of_both_versions_is_understood() {
        for text in [V8[1], V10[1]] {
            let summary = BgpSummary::parse(text).unwrap();
            let (who, neighbor) = summary.peers().next().unwrap();
            assert_eq!(who, peer());
            assert_eq!(neighbor.state, SessionState::Established);
            assert_eq!(
                (neighbor.remote_as, neighbor.pfx_rcd, neighbor.pfx_snt),
                (65002, 1, 2)
            );
        }
    }

    #[test]
    fn without_an_instance_there_are_no_neighbours() {
        assert_eq!(BgpSummary::parse("{}").unwrap().peers().count(), 0);
        let flag = r#"{"bgpNoSuchNeighbor":true}"#;
        assert_eq!(NeighborDetails::parse(flag).unwrap().0.len(), 0);
    }

    #[test]
    fn only_the_exact_word_means_established() {
        let almost = r#"{"ipv4Unicast":{"peers":{"10.0.0.2":{"state":"established"}}}}"#;
        let summary = BgpSummary::parse(almost).unwrap();
        let (_, neighbor) = summary.peers().next().unwrap();
        assert_eq!(
            neighbor.state,
            SessionState::Other("established".to_owned())
        );
    }

    #[test]
    fn neighbours_of_both_versions_are_understood() {
        for text in [V8[2], V10[2]] {
            let detail = NeighborDetails::parse(text)
                .unwrap()
                .0
                .remove(&peer())
                .unwrap();
            assert_eq!(detail.bgp_state, SessionState::Established);
            assert_eq!(detail.bgp_timer_hold_time_msecs, 9000);
            assert_eq!(detail.graceful_restart_info.local_gr_mode, "Helper*");
            assert_eq!(detail.peer_bfd_info.unwrap().status, "Up");
        }
    }

    #[test]
    fn bfd_sessions_of_both_versions_are_understood() {
        for text in [V8[3], V10[3]] {
            let sessions = BfdPeer::parse_all(text).unwrap();
            assert_eq!(sessions[0].peer, peer());
            assert!(sessions[0].up_for().is_some());
            assert_eq!(sessions[0].transmit(), Duration::from_millis(100));
            let detection = Duration::from_millis(300);
            assert_eq!(sessions[0].detection(), Some(detection));
        }
    }

    #[test]
    fn an_address_that_frr_does_not_know_is_none() {
        let text =
            r#"{"10.0.0.2":{"bgpState":"Active","hostLocal":"Unknown","nexthop":"1.2.3.4"}}"#;
        let detail = NeighborDetails::parse(text).unwrap().0.remove(&peer());
        let detail = detail.unwrap();
        let expected = (None, "1.2.3.4".parse().ok());
        assert_eq!((detail.host_local, detail.nexthop), expected);
        assert_eq!(detail.nexthop_global, None);
    }

    #[test]
    fn a_session_that_was_ended_says_by_whom_and_why() {
        let check = |rest: &str, expected: Option<&str>| {
            let text = format!(r#"{{"10.0.0.2":{{"bgpState":"Active"{rest}}}}}"#);
            let detail = NeighborDetails::parse(&text).unwrap().0.remove(&peer());
            assert_eq!(detail.unwrap().why_down().as_deref(), expected);
        };
        check("", None);
        check(r#","lastResetDueTo":"""#, None);
        check(
            r#","lastResetDueTo":"Waiting for peer OPEN""#,
            Some("Waiting for peer OPEN"),
        );
        // As FRR 8.4.4 said it.
        check(
            r#","lastErrorCodeSubcode":"0602",
               "lastNotificationReason":"Cease\/Administrative Shutdown",
               "lastNotificationHardReset":true,"lastShutdownDescription":"good bye",
               "lastResetDueTo":"BGP Notification received","lastResetCode":13"#,
            Some("BGP Notification received: Cease/Administrative Shutdown (good bye)"),
        );
    }

    #[test]
    fn another_shape_is_an_error_that_names_the_command() {
        let error = BgpSummary::parse("% BGP instance not found").unwrap_err();
        assert!(
            error.to_string().contains("show bgp summary json"),
            "{error}"
        );
    }
}
