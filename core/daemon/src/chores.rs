//! The subcommands that do something and end.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are the parts of the daemon that people read on a terminal"
)]

use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use patronus_engine::diff::diff;
use patronus_frr::FrrPaths;
use patronus_linux::{Capability, Conflict, Findings, Kernel};
use patronus_model::kernel::{Change, KernelState, Plan};
use patronus_model::layout::KernelLayout;
use patronus_model::router::RouterConfig;

use crate::layout::{self, Assumed};
use crate::load::load;
use crate::places::Places;

/// Prints a line. Where nobody reads any more, what is to be done is done all the same.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Says why the daemon ends: to programs in the way of `patronus`, whose commands some of these are.
pub fn complain(error: &anyhow::Error, json: bool) {
    match json {
        true => {
            let message = format!("{error:#}");
            let error = serde_json::json!({ "error": { "code": "FAILED", "message": message } });
            eprintln!("{error}");
        }
        false => eprintln!("patronusd: {error:#}"),
    }
}

/// Prints the public key of each uplink.
///
/// # Errors
/// The configuration is not valid, or a key cannot be read or made.
pub fn keys(places: &Places) -> anyhow::Result<ExitCode> {
    let (config, _) = load(places)?.keep(places)?;
    for uplink in &config.uplinks {
        say!("{:<16} {}", uplink.name, uplink.public_key);
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the files from which FRR starts.
///
/// # Errors
/// FRR is not installed, or a file cannot be written.
pub fn prepare_frr() -> anyhow::Result<ExitCode> {
    let paths = FrrPaths::debian().context("/etc/frr: is the package frr installed?")?;
    patronus_frr::bootstrap::install(&paths).context("preparing FRR's pathspace")?;
    Ok(ExitCode::SUCCESS)
}

/// Lists what this machine has and lacks, and what others did that is in the way. Fails when
/// something is missing without which the router does not work, and when traffic goes astray.
///
/// # Errors
/// None at present.
pub fn doctor(places: &Places, json: bool) -> anyhow::Result<ExitCode> {
    let intended = layout::intended(places);
    // Where there is no configuration yet, it has none.
    let passwords = load(places).map_or(0, |loaded| passwords(&loaded.parsed.0));
    let findings = patronus_linux::examine(&intended.layout, &places.wireguard_go, passwords);
    if let Some(doubt) = &intended.doubt {
        // Beside the list, which programs read.
        eprintln!("patronusd: {doubt}\n");
    }
    if json {
        say!(
            "{}",
            serde_json::to_string_pretty(&findings_json(&findings))?
        );
    } else {
        print_findings(&findings);
    }
    Ok(if findings.are_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How many BGP sessions have a password, in the address family that has more of them.
fn passwords(config: &RouterConfig) -> usize {
    let instance = patronus_engine::routing::bgp_instance(config);
    let of = |v4: bool| {
        let neighbors = instance.neighbors.iter();
        let with_one = neighbors.filter(|it| it.password.is_some());
        with_one.filter(|it| it.address.is_ipv4() == v4).count()
    };
    of(true).max(of(false))
}

/// What `patronus doctor` reads.
fn findings_json(findings: &Findings) -> serde_json::Value {
    let capability = |it: &Capability| {
        serde_json::json!({
            "name": it.name,
            "found": it.found,
            "required": it.required,
            "detail": it.detail,
            "neededFor": it.needed_for,
            "costWhenMissing": it.cost_when_missing,
            "remedy": it.remedy,
        })
    };
    let conflict = |it: &Conflict| {
        serde_json::json!({
            "name": it.name,
            // Null where it is not known.
            "found": it.found.as_ref().ok(),
            "problem": it.found.as_ref().err(),
            "harmful": it.harmful,
            "harms": it.harms,
            "cost": it.cost,
            "remedy": it.remedy,
        })
    };
    serde_json::json!({
        "capabilities": findings.capabilities.iter().map(capability).collect::<Vec<_>>(),
        "conflicts": findings.conflicts.iter().map(conflict).collect::<Vec<_>>(),
    })
}

fn print_findings(findings: &Findings) {
    for it in &findings.capabilities {
        let state = match (it.found, it.required) {
            (true, _) => "● yes     ",
            (false, false) => "◐ missing ",
            (false, true) => "○ MISSING ",
        };
        say!("{state}  {:<22} {}", it.name, it.detail);
        if !it.found {
            print_more([
                ("for", it.needed_for),
                ("cost", it.cost_when_missing),
                ("remedy", it.remedy),
            ]);
        }
    }
    for it in &findings.conflicts {
        let (state, detail) = match (&it.found, it.harmful) {
            (Err(problem), _) => ("◌ unknown ", problem.clone()),
            (Ok(list), _) if list.is_empty() => ("● clear   ", "nothing is in the way".to_owned()),
            (Ok(list), false) => ("◐ conflict", list.join(", ")),
            (Ok(list), true) => ("○ CONFLICT", list.join(", ")),
        };
        say!("{state}  {:<22} {detail}", it.name);
        if it.found.as_ref().is_ok_and(|list| !list.is_empty()) {
            print_more([
                ("harms", it.harms),
                ("cost", it.cost),
                ("remedy", it.remedy),
            ]);
        }
    }
    let missing = findings.capabilities.iter();
    let missing = missing.filter(|it| it.required && !it.found).count();
    if missing > 0 {
        say!("\nMissing, so that the router does not work: {missing}.");
    }
    let harmful = findings.conflicts.iter().filter(|it| it.harmful);
    let (known, unknown): (Vec<_>, Vec<_>) = harmful.partition(|it| it.found.is_ok());
    let conflicts = known.iter().filter(|it| !it.is_clear()).count();
    if conflicts > 0 {
        say!("\nConflicts that lead traffic astray: {conflicts}.");
    }
    if !unknown.is_empty() {
        say!("\nPlaces that could not be looked at: {}.", unknown.len());
    }
}

fn print_more(lines: [(&str, &str); 3]) {
    for (word, text) in lines {
        say!("            {word}: {text}");
    }
}

/// How to remove everything.
#[derive(Clone, Copy, Debug)]
pub struct Teardown {
    /// Only say what would be removed.
    pub dry_run: bool,
    /// Do not ask.
    pub yes: bool,
    /// Print JSON.
    pub json: bool,
}

/// Removes everything that is ours from the kernel.
///
/// # Errors
/// The daemon is running, something could not be removed, or it is not known what to look for.
pub fn teardown(places: &Places, how: Teardown) -> anyhow::Result<ExitCode> {
    let Assumed { layout, doubt } = layout::applied(places).map_err(needs_root)?;
    let plan = left(places, &layout).map_err(needs_root)?;
    if let Some(doubt) = &doubt {
        // Beside the answer, which programs may read.
        eprintln!("patronusd: {doubt}.");
    }
    if !how.json && !plan.0.is_empty() {
        say!("{}", summary(&plan.0));
    }
    if how.dry_run {
        match (how.json, plan.0.is_empty()) {
            (true, _) => print_json(&plan.0, false, &[])?,
            (false, true) => say!("{}", nothing(doubt.is_some())),
            (false, false) => plan.0.iter().for_each(|it| say!("  {}", in_words(it))),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if UnixStream::connect(places.socket()).is_ok() {
        bail!("patronusd is running and would put everything back: stop it first");
    }
    if how.json && !how.yes && !plan.0.is_empty() {
        bail!("nothing was removed: pass --yes, or --dry-run to see what would be");
    }
    // What is left to be done where nothing is there, harms nobody.
    if !plan.0.is_empty() && !how.yes && !confirmed()? {
        bail!("nothing was removed");
    }
    let errors = patronus_linux::teardown(&layout, places.kernel());
    let errors: Vec<String> = errors.iter().map(|error| error.report()).collect();
    errors
        .iter()
        .for_each(|error| eprintln!("patronusd: {error}"));
    let still = left(places, &layout)?;
    for change in &still.0 {
        eprintln!("patronusd: still there: {}", in_words(change));
    }
    let removed = errors.is_empty() && still.0.is_empty();
    if removed {
        layout::forget(places)?;
    }
    match (how.json, removed, doubt) {
        (true, ..) => print_json(&plan.0, removed, &errors)?,
        (false, true, doubt) if plan.0.is_empty() => say!("{}", nothing(doubt.is_some())),
        (false, true, None) => say!("all of it was removed"),
        (false, true, Some(_)) => say!("all that carries the default marks was removed"),
        (false, false, _) => {}
    }
    Ok(if removed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is said where nothing is there.
const fn nothing(doubted: bool) -> &'static str {
    match doubted {
        true => "there is nothing in the kernel that carries the default marks: nothing to remove",
        false => "there is nothing of ours in the kernel: nothing to remove",
    }
}

/// Says what to do about an error of somebody who may not even look.
fn needs_root(error: anyhow::Error) -> anyhow::Error {
    match layout::is_root() {
        true => error,
        false => anyhow::anyhow!("{error:#}. Only root may look: run it with sudo"),
    }
}

/// What was found, whether all of it was removed, and why not.
fn print_json(changes: &[Change], removed: bool, errors: &[String]) -> anyhow::Result<()> {
    let changes: Vec<String> = changes.iter().map(in_words).collect();
    let report = serde_json::json!({ "changes": changes, "removed": removed, "errors": errors });
    say!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// What would have to be removed for nothing to be left.
fn left(places: &Places, layout: &KernelLayout) -> anyhow::Result<Plan> {
    let report = |error: patronus_linux::Error| anyhow::anyhow!(error.report());
    let mut kernel = Kernel::open(layout.clone(), places.kernel()).map_err(report)?;
    let there = kernel.observe().map_err(report)?;
    let mut plan = diff(&KernelState::default(), &there);
    match kernel.has_firewall() {
        Ok(true) if !plan.0.contains(&Change::DeleteFirewall) => {
            plan.0.push(Change::DeleteFirewall);
        }
        Ok(_) => {}
        // Without `nft` there is hardly one.
        Err(error) => eprintln!(
            "patronusd: it is not known whether our nftables table is there: {}",
            error.report()
        ),
    }
    Ok(plan)
}

fn summary(changes: &[Change]) -> String {
    let count = |wanted: fn(&Change) -> bool| changes.iter().filter(|c| wanted(c)).count();
    format!(
        "of ours in the kernel: {} tunnels, {} rules, {} routes, {} nexthops, {} other objects",
        count(|c| matches!(c, Change::DeleteTunnel(_))),
        count(|c| matches!(c, Change::DeleteRule(_))),
        count(|c| matches!(c, Change::DeleteRoute(_))),
        count(|c| matches!(c, Change::DeleteNexthop(_))),
        count(|c| matches!(
            c,
            Change::DeleteOverlay(_) | Change::RestoreSysctl(_) | Change::DeleteFirewall
        )),
    )
}

/// One thing that would be removed.
fn in_words(change: &Change) -> String {
    match change {
        Change::DeleteRule(rule) => format!("rule {} to table {}", rule.priority, rule.table),
        Change::DeleteRoute(key) => format!("route to {} in table {}", key.prefix, key.table),
        Change::DeleteNexthop(id) => format!("nexthop object {id}"),
        Change::DeletePeer(name, key) => format!("peer {key} of {name}"),
        Change::DeleteTunnel(name) => format!("tunnel {name} with its peers"),
        Change::DeleteOverlay(name) => format!("overlay interface {name}"),
        Change::DeleteFirewall => "nftables table inet patronus".to_owned(),
        Change::RestoreSysctl(path) => format!("{path} gets its former value back"),
        // A plan towards nothing makes nothing.
        other => format!("{other:?}"),
    }
}

fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing was removed: pass --yes, or --dry-run to see what would be");
    }
    print!("Forwarding between the sites stops. Remove it all? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
