//! `patronusd`: the daemon of a Patronus router.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use patronus_daemon::load::LoadError;
use patronus_daemon::places::Places;
use patronus_daemon::{chores, log, router};

/// The daemon of a Patronus router.
///
/// Without a command it runs until it is told to stop (SIGTERM). The kernel goes on forwarding
/// then, and a daemon that is started again adopts what is there. SIGHUP reloads the configuration.
#[derive(Parser, Debug)]
#[command(name = "patronusd", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What sysexits(3) says of a configuration that is not valid. systemd does not start us again
/// then: the file will not get better by itself.
const EX_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  patronusd                                run with /etc/patronus/config.yaml
  patronusd --config /tmp/try.yaml         run with another file
  patronusd keys                           print the public keys that other sites need
  patronusd doctor                         what this machine has, lacks, and what that costs
  patronusd teardown --dry-run             what would be removed

Logging is set by RUST_LOG, for example RUST_LOG=debug or RUST_LOG=patronus_frr=debug.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon (the default)
    Run,
    /// Print the public key of each uplink, making keys that are missing
    Keys,
    /// List the capabilities of kernel and system, what is missing and what that costs
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove everything of Patronus from the kernel; stop the daemon first
    Teardown {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Print JSON; without --dry-run it needs --yes
        #[arg(long)]
        json: bool,
    },
    /// Write the files from which FRR starts in Patronus's pathspace
    PrepareFrr,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = matches!(
        arguments.command,
        Some(Command::Doctor { json: true } | Command::Teardown { json: true, .. })
    );
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            chores::complain(&error, json);
            match error.downcast_ref::<LoadError>() {
                Some(_) => ExitCode::from(EX_CONFIG),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(Arguments { places, command }: Arguments) -> anyhow::Result<ExitCode> {
    match command.unwrap_or(Command::Run) {
        Command::Run => {
            log::start();
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(router::run(places))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Keys => chores::keys(&places),
        Command::Doctor { json } => chores::doctor(&places, json),
        Command::Teardown { dry_run, yes, json } => {
            chores::teardown(&places, chores::Teardown { dry_run, yes, json })
        }
        Command::PrepareFrr => chores::prepare_frr(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_manual_pages_are_up_to_date() {
        patronus_tidy::manual::check(Arguments::command(), "8");
    }
}
