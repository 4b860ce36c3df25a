//! Whose AS numbers are the same, and who has to know of a new one.

use std::collections::BTreeMap;

use patronus_model::bgp::Asn;
use patronus_model::router::{RemoteSite, RouterConfig};

use crate::diagnostic::Sink;
use crate::file::File;
use crate::place::Place;

/// Warns of numbers that two sites share.
///
/// One AS for all sites is a network of internal BGP, which works: hubs reflect. An AS that only
/// some have is more likely a copied line: then the far end refuses the session ("Bad Peer AS"). If
/// not, sites with the same AS drop what a hub tells them of each other as a loop (RFC 4271 section
/// 9.1.2).
pub(super) fn check(file: &File, ours: Asn, remotes: &[RemoteSite], sink: &mut Sink) {
    with_ours(file, ours, remotes, sink);
    with_neighbors(file, ours, remotes, sink);
    if file.site.value().is_some_and(|site| site.hub.is_present()) {
        among_spokes(file, ours, remotes, sink);
    }
}

fn with_ours(file: &File, ours: Asn, remotes: &[RemoteSite], sink: &mut Sink) {
    // That it has our address, and so our number, is said already.
    let overlay = file.overlay.value().and_then(|it| it.ipv4.value());
    let own = |site: &&RemoteSite| overlay.is_some_and(|net| net.addr() == site.ipv4);
    let mut same = remotes.iter().filter(|site| site.asn == ours && !own(site));
    let Some(first) = same.next() else { return };
    let alike = 1 + same.count();
    // With a single other site nobody knows which of the two it is.
    if alike == remotes.len() && alike > 1 {
        return;
    }
    let Some(place) = place(file).or_else(|| place_of(file, first)) else {
        return;
    };
    let id = &first.id;
    let more = match alike - 1 {
        0 => String::new(),
        more => format!(" and of {more} more"),
    };
    let problem = format!(
        "AS {ours} is that of this site and of {id}{more}: the session with it comes up only if its \
         file says the same, and what a hub passes on of it is not believed"
    );
    let help = format!(
        "give each site an AS of its own, for example by leaving them out of all files: then this \
         one has {} and {id} {}; or all sites the same",
        default(file, ours),
        super::remotes::default_asn(first.number).unwrap_or(first.asn),
    );
    sink.warning(place, problem, help);
}

/// The AS that this site would have by itself.
fn default(file: &File, or: Asn) -> Asn {
    let overlay = file.overlay.value().and_then(|it| it.ipv4.value());
    let number = overlay.and_then(|net| super::overlay::number(*net, net.addr()));
    number.and_then(super::remotes::default_asn).unwrap_or(or)
}

/// Each site is told what neighbours announce, and neighbours what sites do, with the AS of whoever
/// said it first. Who finds its own there takes it for a loop. A neighbour with our own AS is
/// internal, and adds none.
fn with_neighbors(file: &File, ours: Asn, remotes: &[RemoteSite], sink: &mut Sink) {
    let mut by_asn: BTreeMap<Asn, Vec<&str>> = BTreeMap::new();
    for site in remotes.iter().filter(|site| site.asn != ours) {
        by_asn.entry(site.asn).or_default().push(site.id.as_str());
    }
    let neighbors = file.bgp.value().map(|bgp| bgp.neighbors.items());
    for at in neighbors.unwrap_or_default() {
        let Some(given) = at.value.asn.given() else {
            continue;
        };
        let Some((first, more)) = by_asn.get(&given.value).and_then(|ids| ids.split_first()) else {
            continue;
        };
        let them = match more.len() {
            0 => (*first).to_owned(),
            more => format!("{first} and {more} more"),
        };
        let asn = given.value;
        let problem = format!(
            "AS {asn} is that of {them} too: what this neighbour announces is dropped there as a loop, \
             and what is announced there is dropped by this neighbour (RFC 4271 section 9.1.2)"
        );
        let help = "give sites AS numbers that no neighbour has, for example by leaving them out of \
                    all files";
        sink.warning(&given.place, problem, help);
    }
}

/// We are a hub and hand on to each site what others tell us.
fn among_spokes(file: &File, ours: Asn, remotes: &[RemoteSite], sink: &mut Sink) {
    let mut by_asn: BTreeMap<Asn, &RemoteSite> = BTreeMap::new();
    for site in remotes.iter().filter(|site| site.asn != ours) {
        let Some(first) = by_asn.get(&site.asn) else {
            by_asn.insert(site.asn, site);
            continue;
        };
        let Some(place) = place_of(file, site) else {
            continue;
        };
        let (id, other, asn) = (&site.id, &first.id, site.asn);
        let problem = format!(
            "{id} has the AS {asn} of {other}: what this hub passes on from one of them is not \
             believed by the other"
        );
        let help = "give each site an AS of its own, or all sites and this one the same";
        sink.warning(place, problem, help);
    }
}

/// Where the file says our AS.
fn place(file: &File) -> Option<&Place> {
    let given = file.bgp.value()?.asn.given()?;
    Some(&given.place)
}

/// Where the file says the AS of a site, or has the site at least.
fn place_of<'a>(file: &'a File, site: &RemoteSite) -> Option<&'a Place> {
    let mut sites = file.sites.items().iter();
    let at = sites.find(|at| at.value.id.value() == Some(&site.id))?;
    Some(at.value.asn.place(&at.place))
}

/// Warns of another AS than the files of the other sites have: they are not told by anybody but
/// people.
pub(super) fn renumbered(file: &File, ours: Asn, before: &RouterConfig, sink: &mut Sink) {
    let was = before.bgp.asn;
    let overlay = file.overlay.value().and_then(|it| it.ipv4.given());
    let Some(place) = place(file).or_else(|| overlay.map(|at| &at.place)) else {
        return;
    };
    if was == ours || before.remotes.is_empty() {
        return;
    }
    let problem = format!(
        "this site had AS {was} until now: the other sites refuse sessions with another one (\"Bad \
         Peer AS\")"
    );
    let id = &before.site.id;
    let help = format!(
        "give {id} asn: {ours} in the files of all other sites, or asn: {was} here; until then no \
         prefixes are exchanged"
    );
    sink.warning(place, problem, help);
}
