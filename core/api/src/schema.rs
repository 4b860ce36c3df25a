//! Which queries there are.

use std::net::IpAddr;

use async_graphql::{Context, EmptySubscription, ID, Object, Result, SDLExportOptions};
use ipnet::IpNet;
use patronus_model::ids::{Dscp, IfName, SiteId};
use patronus_model::policy::{Flow, Protocol};
use patronus_model::view::{PathView, RouteOrigin, RouteView};

use crate::error::{Failure, Refusal};
use crate::page::{Page, Wanted};
use crate::request::{RELOAD, Request};
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::types::bfd::BfdSession;
use crate::types::bgp::Bgp;
use crate::types::event::{self, Event};
use crate::types::explain::Explanation;
use crate::types::path::{Path, PathStatus};
use crate::types::policy::{Policy, TrafficClass};
use crate::types::reload::ReloadResult;
use crate::types::route::{self, Route};
use crate::types::router::Router;
use crate::types::site::Site;
use crate::types::uplink::Uplink;

pub(crate) type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// The deepest query that is answered: one level more than the usual introspection needs.
const DEEPEST: usize = 16;

/// The most that a query may cost: a field costs 1, and more in a list. Asking for everything
/// that there is costs about a third of this.
const COSTLIEST: usize = 3000;

pub(crate) fn build() -> Schema {
    Schema::build(Query, Mutation, EmptySubscription)
        .limit_depth(DEEPEST)
        .limit_complexity(COSTLIEST)
        .limit_directives(10)
        .finish()
}

/// The schema in GraphQL's own language, as it is committed in `schema.graphql`.
#[must_use]
pub fn sdl() -> String {
    build().sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions())
}

/// What can be asked.
pub(crate) struct Query;

#[Object]
impl Query {
    /// The router as a whole.
    async fn router(&self, context: &Context<'_>) -> Result<Router> {
        Ok(Router::new(Session::of(context)?.snapshot().await?))
    }

    /// The uplinks of the router.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn uplinks(&self, context: &Context<'_>) -> Result<Vec<Uplink>> {
        let from = Session::of(context)?.snapshot().await?;
        let uplink = |uplink| Uplink::new(&from, uplink);
        Ok(from.view.uplinks.iter().map(uplink).collect())
    }

    /// The other sites.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn sites(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many at most; all of them if not given.")] first: Option<u32>,
        #[graphql(desc = "Begin behind this cursor.")] after: Option<String>,
    ) -> Result<Page<Site>> {
        let from = Session::of(context)?.snapshot().await?;
        let key = |site: &patronus_model::view::SiteView| site.id.to_string();
        let site = |site: &patronus_model::view::SiteView| Site::new(&from, site);
        let wanted = Wanted { first, after };
        Ok(wanted
            .cut(from.view.sites.iter(), key, site)
            .map_err(Refusal::from)?)
    }

    /// The paths to other sites.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn paths(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only those to this site.")] site_id: Option<ID>,
        #[graphql(desc = "Only those in this state.")] status: Option<PathStatus>,
        #[graphql(desc = "How many at most; all of them if not given.")] first: Option<u32>,
        #[graphql(desc = "Begin behind this cursor.")] after: Option<String>,
    ) -> Result<Page<Path>> {
        let from = Session::of(context)?.snapshot().await?;
        let site = site_id.map(|id| known_site(&from, &id)).transpose()?;
        let meant = |path: &&PathView| {
            site.as_ref().is_none_or(|site| path.site == *site)
                && status.is_none_or(|status| PathStatus::from(path.state) == status)
        };
        let key = |path: &PathView| from.names.path_id(path.id);
        let path = |path: &PathView| Path::new(&from, path);
        let wanted = Wanted { first, after };
        let paths = from.view.paths.iter().filter(meant);
        Ok(wanted.cut(paths, key, path).map_err(Refusal::from)?)
    }

    /// The traffic classes in the order of their ids.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn classes(&self, context: &Context<'_>) -> Result<Vec<TrafficClass>> {
        let from = Session::of(context)?.snapshot().await?;
        Ok(from.view.classes.iter().map(TrafficClass::from).collect())
    }

    /// The policies in the order in which they are looked at.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn policies(&self, context: &Context<'_>) -> Result<Vec<Policy>> {
        let from = Session::of(context)?.snapshot().await?;
        let policy = |policy| Policy::new(&from, policy);
        Ok(from.view.policies.iter().map(policy).collect())
    }

    /// What is routed into the overlay.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn routes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only those which contain this address or prefix.")] contains: Option<
            String,
        >,
        #[graphql(desc = "Only those of this site.")] site_id: Option<ID>,
        #[graphql(desc = "How many at most; all of them if not given.")] first: Option<u32>,
        #[graphql(desc = "Begin behind this cursor.")] after: Option<String>,
    ) -> Result<Page<Route>> {
        let from = Session::of(context)?.snapshot().await?;
        let site = site_id.map(|id| known_site(&from, &id)).transpose()?;
        let inner = contains.as_deref().map(route::parse_contained).transpose();
        let inner = inner.map_err(Refusal::from)?;
        let meant = |route: &&RouteView| {
            site.as_ref()
                .is_none_or(|site| route.site.as_ref() == Some(site))
                && inner.is_none_or(|inner| route.prefix.contains(&inner))
        };
        let key = |route: &RouteView| route.prefix.to_string();
        let wanted = Wanted { first, after };
        let routes = from.view.routes.iter().filter(meant);
        Ok(wanted.cut(routes, key, Route::new).map_err(Refusal::from)?)
    }

    /// BGP and the routing daemons.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn bgp(&self, context: &Context<'_>) -> Result<Bgp> {
        let bgp = Session::of(context)?.ask(Request::Bgp).await?;
        Ok(Bgp::from(&bgp))
    }

    /// The BFD sessions: ours in the order of their paths, then those of FRR.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn bfd(&self, context: &Context<'_>) -> Result<Vec<BfdSession>> {
        let session = Session::of(context)?;
        let (from, sessions) = (session.snapshot().await?, session.ask(Request::Bfd).await?);
        Ok(sessions.iter().map(|s| BfdSession::new(&from, s)).collect())
    }

    /// What happened, in the order of time. Without `after`, `first` begins with the oldest event
    /// that is kept and `last` ends with the newest; without either, the newest 50 are given.
    #[graphql(complexity = "5 + 5 * child_complexity")]
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The oldest ones behind `after`, at most this many.")] first: Option<u32>,
        #[graphql(desc = "Begin behind this cursor.")] after: Option<String>,
        #[graphql(desc = "The newest ones, at most this many; not together with the others.")]
        last: Option<u32>,
    ) -> Result<Page<Event>> {
        let wanted = event::Wanted { first, after, last };
        event::page(Session::of(context)?, wanted).await
    }

    /// What happens to a flow that enters from a LAN, and why.
    #[allow(
        clippy::too_many_arguments,
        reason = "they are the arguments of the GraphQL field"
    )]
    async fn explain(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Address.")] source: String,
        #[graphql(desc = "Address of the same family.")] destination: String,
        #[graphql(desc = "Name or number, like `udp` or 17.")] protocol: String,
        #[graphql(desc = "Only for protocols with ports.")] source_port: Option<u16>,
        #[graphql(desc = "Only for protocols with ports.")] destination_port: Option<u16>,
        #[graphql(desc = "Code point, 0 to 63.", default)] dscp: u8,
        #[graphql(desc = "The LAN interface by which it comes.")] ingress: Option<String>,
    ) -> Result<Explanation> {
        let session = Session::of(context)?;
        let (source, destination) = addresses(&source, &destination).map_err(Refusal::from)?;
        let flow = Flow {
            source,
            destination,
            protocol: parse_protocol(&protocol).map_err(Refusal::from)?,
            source_port,
            destination_port,
            dscp: Dscp::new(dscp).map_err(|e| bad("dscp", &dscp, &e))?,
            ingress: ingress.map(|name| parse_interface(&name)).transpose()?,
        };
        check_ports(&flow).map_err(Refusal::from)?;
        let from = session.snapshot().await?;
        if let Some(ingress) = &flow.ingress {
            known_lan(&from, ingress)?;
        }
        let explained = session.ask(|reply| Request::Explain(flow, reply)).await?;
        let explained = explained.ok_or(Failure::Starting).map_err(Refusal::from)?;
        Ok(Explanation::new(&from, &explained))
    }
}

/// What can be done.
pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Reads the configuration file again. A file with errors changes nothing.
    async fn reload(&self, context: &Context<'_>) -> Result<ReloadResult> {
        let daemon = &Session::of(context)?.daemon;
        let outcome = daemon.ask(RELOAD, Request::Reload).await;
        Ok(outcome.map_err(Refusal::from)?.into())
    }

    /// Forgets a prefix that no site announces any more: from then on packets for it go wherever
    /// the main table leads. Gives the prefix back.
    async fn forget_prefix(&self, context: &Context<'_>, prefix: String) -> Result<String> {
        let session = Session::of(context)?;
        let wanted = parse_prefix("prefix", &prefix)?;
        let from = session.snapshot().await?;
        let ask = |reply| Request::Forget(wanted, reply);
        match session.ask(ask).await? {
            true => Ok(wanted.to_string()),
            false => {
                let withdrawn = from.view.routes.iter();
                let withdrawn = withdrawn.filter(|route| route.origin == RouteOrigin::Withdrawn);
                let known: Vec<String> = withdrawn.map(|r| r.prefix.to_string()).collect();
                let known = known.iter().map(String::as_str);
                Err(not_found("withdrawn prefix", prefix, known).into())
            }
        }
    }

    /// Forgets all prefixes within one that no site announces any more, or all there are. Gives them
    /// back.
    async fn forget_prefixes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only those within this one; `null`: all.")] within: Option<String>,
        #[graphql(desc = "Forgets nothing, and says what would be.", default)] dry_run: bool,
    ) -> Result<Vec<String>> {
        let session = Session::of(context)?;
        let within = within
            .map(|wide| parse_prefix("within", &wide))
            .transpose()?;
        let ask = |reply| Request::ForgetWithin {
            within,
            dry_run,
            reply,
        };
        let prefixes = session.ask(ask).await?;
        Ok(prefixes.iter().map(ToString::to_string).collect())
    }
}

fn parse_prefix(argument: &'static str, text: &str) -> Result<IpNet, Refusal> {
    let example = "is not a prefix. Use one like 10.7.0.0/24";
    let prefix: IpNet = text.parse().map_err(|_| bad(argument, &text, &example))?;
    Ok(prefix.trunc())
}

fn known_site(from: &Snapshot, id: &ID) -> Result<SiteId, Refusal> {
    let site = id.parse().ok().filter(|id| from.site_by_id(id).is_some());
    site.ok_or_else(|| {
        let known = from.view.sites.iter().map(|site| site.id.as_str());
        not_found("site", id.to_string(), known)
    })
}

/// A flow that is explained enters from a LAN; a policy could not tell any other interface.
fn known_lan(from: &Snapshot, interface: &IfName) -> Result<(), Refusal> {
    let lans = || from.view.lans.iter().map(|lan| lan.interface.as_str());
    match lans().any(|lan| lan == interface.as_str()) {
        true => Ok(()),
        false => Err(not_found("LAN interface", interface.to_string(), lans())),
    }
}

fn not_found<'a>(what: &'static str, id: String, known: impl Iterator<Item = &'a str>) -> Refusal {
    let known: Vec<&str> = known.collect();
    let known = match known.is_empty() {
        true => "none".to_owned(),
        false => known.join(", "),
    };
    Refusal::from(Failure::NotFound { what, id, known })
}

fn bad(argument: &'static str, value: &dyn ToString, problem: &dyn ToString) -> Refusal {
    Refusal::from(invalid(argument, value, problem))
}

fn invalid(argument: &'static str, value: &dyn ToString, problem: &dyn ToString) -> Failure {
    Failure::BadInput {
        argument,
        value: value.to_string(),
        problem: problem.to_string(),
    }
}

fn addresses(source: &str, destination: &str) -> Result<(IpAddr, IpAddr), Failure> {
    let parse = |argument, text: &str| {
        let example = "is not an address. Use one like 10.1.0.5 or fd00::5";
        text.parse::<IpAddr>()
            .map_err(|_| invalid(argument, &text, &example))
    };
    let (from, to) = (parse("source", source)?, parse("destination", destination)?);
    for (argument, address) in [("source", from), ("destination", to)] {
        if let Some(problem) = carried_on(address).err() {
            return Err(invalid(argument, &address, &problem));
        }
    }
    if from.is_ipv4() == to.is_ipv4() {
        return Ok((from, to));
    }
    let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
    let problem = format!("is of another family than the source {from}. Use an {family} address");
    Err(invalid("destination", &destination, &problem))
}

/// Whether a router carries packets from or to an address on: those of the others are not flows that
/// policies or routes of ours decide.
fn carried_on(address: IpAddr) -> Result<(), &'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Err("is no address of a host. Use one that is, like 10.1.0.5 or fd00::5")
    } else if address.is_multicast() {
        Err(
            "is a multicast address: Patronus routes unicast only, and never sends this into the overlay",
        )
    } else if address.is_loopback() {
        Err("is a loopback address: packets never leave the host that uses it")
    } else if link_local {
        Err("is an address of one link only: no router carries it on to another")
    } else {
        Ok(())
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, Failure> {
    let lower = text.to_ascii_lowercase();
    let named = Protocol::NAMED.iter().find(|(name, _)| *name == lower);
    let number = || text.parse().ok().map(Protocol);
    named
        .map(|(_, protocol)| *protocol)
        .or_else(number)
        .ok_or_else(|| {
            let names: Vec<&str> = Protocol::NAMED.iter().map(|(name, _)| *name).collect();
            let problem = format!(
                "is not a protocol. Use {} or a number to 255",
                names.join(", ")
            );
            invalid("protocol", &text, &problem)
        })
}

fn parse_interface(name: &str) -> Result<IfName, Refusal> {
    name.parse().map_err(|error| bad("ingress", &name, &error))
}

fn check_ports(flow: &Flow) -> Result<(), Failure> {
    if flow.protocol.has_ports() {
        return Ok(());
    }
    let ports = [
        ("sourcePort", flow.source_port),
        ("destinationPort", flow.destination_port),
    ];
    match ports
        .into_iter()
        .find_map(|(argument, port)| Some((argument, port?)))
    {
        Some((argument, port)) => {
            let problem = format!("{} has no ports. Leave it out", flow.protocol);
            Err(invalid(argument, &port, &problem))
        }
        None => Ok(()),
    }
}
