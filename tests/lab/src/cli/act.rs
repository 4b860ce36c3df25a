//! Commands which change something.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use patronus_lab::{Degradation, Lab, Sandbox, Topology};

use super::{CutArguments, Degrade, OptionalTarget, Target, Up, name_of, show};

/// The topology of a file, or the default one.
pub(super) fn topology(path: Option<&Path>) -> Result<Topology> {
    match path {
        Some(path) => Topology::load(path),
        None => Topology::parse(patronus_lab::topology::DEFAULT),
    }
}

pub(super) fn up(arguments: &Up, name: &str) -> Result<()> {
    let topology = topology(arguments.topology.as_deref())?;
    // Blocked before there are threads, so that Ctrl-C is waited for and kills nothing half-way.
    let endings: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    if arguments.foreground {
        endings.thread_block()?;
    }
    let started = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let mut lab = Lab::up_as(name, &topology, &mut |step| {
        if terminal {
            eprintln!("{:5} ms  {step}", started.elapsed().as_millis());
        }
    })?;
    if arguments.frr {
        for site in &lab.plan().sites {
            lab.router(&site.name)?.start_frr()?;
        }
    }
    lab.offer()?;
    let took = started.elapsed().as_secs_f64();
    println!("lab {name} is up after {took:.1} s");
    if arguments.foreground {
        println!("Ctrl-C ends it");
        endings.wait()?;
        lab.stop()?;
        println!("lab {name} is gone");
    } else {
        lab.detach()?;
        show::status(&lab, false)?;
    }
    Ok(())
}

pub(super) fn exec(lab: &Lab, node: &str, argv: &[String]) -> Result<ExitCode> {
    let (program, args) = argv.split_first().context("no program is named")?;
    let mut command = Command::new(program);
    command.args(args).env("PATH", path_with_siblings()?);
    let status = lab.node(node)?.exec(&mut command)?;
    // As shells do it: 128 and the number of the signal.
    let code = status.code().unwrap_or_else(|| {
        128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
    });
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Programs that were built beside this one are found by their names: `patronus` above all.
fn path_with_siblings() -> Result<OsString> {
    let this = std::env::current_exe().context("finding the running program")?;
    let own = this.parent().map(Path::to_path_buf);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(std::env::split_paths(&inherited));
    Ok(std::env::join_paths(folders)?)
}

pub(super) fn cut(lab: &Lab, arguments: &CutArguments) -> Result<()> {
    let Target { site, uplink } = &arguments.target;
    let cut = arguments.cut();
    lab.cut(site, uplink, cut)?;
    println!("○ {site} {uplink}: {cut}");
    Ok(())
}

pub(super) fn heal(lab: &Lab, target: &OptionalTarget) -> Result<()> {
    if let (Some(site), Some(uplink)) = (&target.site, &target.uplink) {
        lab.heal(site, uplink)?;
        println!("● {site} {uplink}");
        return Ok(());
    }
    for (site, uplink) in lab.plan().uplinks() {
        lab.heal(&site.name, &uplink.name)?;
    }
    println!("● all uplinks of lab {}", lab.name());
    Ok(())
}

pub(super) fn degrade(lab: &Lab, arguments: &Degrade) -> Result<()> {
    let Target { site, uplink } = &arguments.target;
    let change = &arguments.change;
    let change = Degradation {
        delay: change.delay,
        jitter: change.jitter,
        loss: change.loss,
        rate: change.rate,
        direction: arguments.direction.into(),
    };
    lab.degrade(site, uplink, &change)?;
    show::status(lab, false)
}

pub(super) fn renumber(lab: &Lab, target: &Target) -> Result<()> {
    let address = lab.change_address(&target.site, &target.uplink)?;
    let (new, gateway) = (address.with_prefix(), address.gateway);
    println!("{} {}: {new} via {gateway}", target.site, target.uplink);
    Ok(())
}

pub(super) fn down(lab: Option<&str>, all: bool) -> Result<()> {
    let names = if all {
        patronus_lab::offered()?
    } else {
        vec![name_of(lab)?]
    };
    for name in names {
        Sandbox::attach(&name)?.stop()?;
        println!("lab {name} is gone");
    }
    Ok(())
}

pub(super) fn sweep() -> Result<()> {
    let swept = patronus_lab::sweep()?;
    if swept.is_empty() {
        println!("nothing to sweep");
    } else {
        println!("removed what these labs left: {}", swept.join(", "));
    }
    Ok(())
}
