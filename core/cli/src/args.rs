//! The command line's grammar.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};

/// Shows and steers a Patronus SD-WAN router.
#[derive(Debug, Parser)]
#[command(
    name = "patronus",
    version,
    max_term_width = 100,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Exit status: 0 all is well, 1 what was asked about is not well or does not exist,
2 the command line is wrong, 3 patronusd cannot be reached.

Examples:
  patronus status                    is everything well?
  patronus events                    what happened?
  patronus explain last              why did traffic move?
  patronus explain --src 10.1.0.5 --dst 10.7.0.9 --proto udp --dport 5060
                                     where does this flow go, and why?"
)]
pub(crate) struct Cli {
    /// The daemon's socket
    #[arg(
        long,
        global = true,
        env = "PATRONUS_SOCKET",
        value_name = "PATH",
        default_value = "/run/patronus/patronus.sock",
        value_hint = ValueHint::FilePath
    )]
    pub(crate) socket: PathBuf,

    /// How long to wait for the daemon, by default 6 seconds, and 35 for a reload
    #[arg(long, global = true, value_name = "SECS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How a listing is shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct Show {
    /// Print JSON, with the field names of the API
    #[arg(long)]
    pub(crate) json: bool,

    /// Show it again every SECS seconds, by default twice a second, until Ctrl-C
    #[arg(
        long,
        value_name = "SECS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0.5",
        value_parser = seconds
    )]
    pub(crate) watch: Option<Duration>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is everything well, and what moved last?
    #[command(after_help = "\
Examples:
  patronus status
  patronus status --watch            twice a second
  patronus status --json | jq .router.problems
  until patronus status; do sleep 1; done")]
    Status(Show),

    /// Our uplinks: state, addresses, bandwidth
    #[command(after_help = "\
Examples:
  patronus uplinks
  patronus uplinks --json | jq -r '.[] | select(.status == \"down\").name'")]
    Uplinks(Show),

    /// The other sites, and which way each class goes to them
    #[command(after_help = "\
Examples:
  patronus sites
  patronus sites --watch=2")]
    Sites(Show),

    /// The paths to other sites: state, latency, loss, and the classes on them
    #[command(after_help = "\
HANDSHAKE is how long ago WireGuard last agreed on keys with the far end: little more than two
minutes at most where packets pass. If it is more, or never, a key, an endpoint or a UDP port is
wrong; if not, look inside of the tunnel. COST is shown of uplinks where a class goes by it.

Examples:
  patronus paths
  patronus paths --site lisbon --watch
  patronus paths --status down --json")]
    Paths(PathsArgs),

    /// The policies in the order in which they are looked at
    #[command(after_help = "\
Examples:
  patronus policies
  patronus policies --json")]
    Policies(Show),

    /// What is routed into the overlay
    #[command(after_help = "\
Examples:
  patronus routes
  patronus routes --contains 10.7.0.9    where does this address go?
  patronus routes --site lisbon --json
  patronus routes | grep kept            where nothing is a terminal, nothing is cut")]
    Routes(RoutesArgs),

    /// BGP sessions and routing daemons
    #[command(after_help = "\
Examples:
  patronus bgp
  patronus bgp --json | jq '.neighbors[] | select(.established | not)'")]
    Bgp(Show),

    /// The BFD sessions: of each path, and those that FRR runs for other neighbours
    #[command(after_help = "\
Examples:
  patronus bfd
  patronus bfd --watch=1")]
    Bfd(Show),

    /// What happened
    #[command(after_help = "\
Examples:
  patronus events
  patronus events --last 500
  patronus events --follow
  patronus events --follow --json | jq 'select(.kind == \"moved\")'")]
    Events(EventsArgs),

    /// Why traffic moved the last time, or what happens to a flow
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "\
A flow is explained by the packet that opens its connection. The packets after it keep its class
until the policies change, and the far end reads the class from their DSCP. Answers travel in the
class of what they answer, whatever the policies at their end say, and on the path that their end
chooses for that class; a connection that was opened at the far end has its class from there.

Examples:
  patronus explain last
  patronus explain --src 10.1.0.5 --dst 10.7.0.9 --proto udp --dport 5060
  patronus explain --src fd00:1::5 --dst fd00:7::9 --proto icmpv6 --json
  patronus explain --src 10.1.0.5 --dst 10.7.0.9 --dscp EF --in lan0"
    )]
    Explain(ExplainArgs),

    /// Forget a prefix that no site announces any more, so that it is sought elsewhere
    #[command(after_help = "\
What a site has announced once stays unreachable when it is announced no more, so that nothing
for it leaves in the clear while the site is away. Forget what was announced by mistake, or by a
site that is closed for good.

Examples:
  patronus routes | grep 'no more'
  patronus forget 10.7.0.0/24
  patronus forget --within 10.7.0.0/16 --dry-run")]
    Forget {
        /// The prefix, as `patronus routes` shows it
        #[arg(value_name = "PREFIX", required_unless_present_any = ["within", "all"])]
        prefix: Option<String>,
        /// All such prefixes within this one
        #[arg(long, value_name = "PREFIX", conflicts_with = "prefix")]
        within: Option<String>,
        /// All such prefixes
        #[arg(long, conflicts_with_all = ["prefix", "within"])]
        all: bool,
        /// Only show what would be forgotten
        #[arg(long, conflicts_with = "prefix")]
        dry_run: bool,
        /// Print JSON, with the field names of the API
        #[arg(long)]
        json: bool,
    },

    /// Read the configuration file again; a file with errors changes nothing
    #[command(after_help = "\
Examples:
  patronus config check /etc/patronus/config.yaml && patronus reload")]
    Reload {
        /// Print JSON, with the field names of the API
        #[arg(long)]
        json: bool,
    },

    /// Check, describe or begin a configuration file; works without a daemon
    #[command(subcommand)]
    Config(ConfigCommand),

    /// What this machine can and cannot do, and what that costs
    #[command(after_help = "\
Examples:
  sudo patronus doctor
  sudo patronus doctor --json")]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Remove all that Patronus has put into the kernel
    #[command(after_help = "\
Examples:
  sudo patronus teardown --dry-run       what would be removed?
  sudo patronus teardown --yes           remove it without asking
  sudo patronus teardown --dry-run --json | jq .changes")]
    Teardown {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Print JSON; what is to be removed needs --dry-run or --yes then
        #[arg(long)]
        json: bool,
        /// Anything else, as `patronusd teardown` understands it
        #[arg(last = true, value_name = "ARGS")]
        more: Vec<OsString>,
    },

    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  patronus completions bash > /etc/bash_completion.d/patronus
  patronus completions fish > ~/.config/fish/completions/patronus.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `paths`.
#[derive(Debug, Args)]
pub(crate) struct PathsArgs {
    /// Only those to this site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,

    /// Only those in this state
    #[arg(long, value_parser = ["up", "degraded", "down", "unknown"])]
    pub(crate) status: Option<String>,

    #[command(flatten)]
    pub(crate) show: Show,
}

/// `routes`.
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    /// Only those of this site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,

    /// Only those which contain this address or prefix
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) contains: Option<String>,

    #[command(flatten)]
    pub(crate) show: Show,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) last: u32,

    /// Go on with what happens from now on, until Ctrl-C; with --json one event per line
    #[arg(long, short, conflicts_with = "watch")]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) show: Show,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    pub(crate) what: Option<ExplainWhat>,

    #[command(flatten)]
    pub(crate) flow: FlowArgs,

    #[command(flatten)]
    pub(crate) show: Show,
}

/// `explain last`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainWhat {
    /// Why traffic moved the last time
    Last(Show),
}

/// A flow.
#[derive(Debug, Args)]
pub(crate) struct FlowArgs {
    /// Source address
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) src: Option<String>,

    /// Destination address
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(crate) dst: Option<String>,

    /// Protocol by name or number
    #[arg(long, default_value = "tcp")]
    pub(crate) proto: String,

    /// Source port
    #[arg(long, value_name = "PORT")]
    pub(crate) sport: Option<u16>,

    /// Destination port
    #[arg(long, value_name = "PORT")]
    pub(crate) dport: Option<u16>,

    /// Code point by name, like EF or AF41, or by number, 0 to 63
    #[arg(long, default_value = "0", value_parser = dscp)]
    pub(crate) dscp: u8,

    /// The LAN interface by which it comes
    #[arg(long = "in", value_name = "INTERFACE")]
    pub(crate) ingress: Option<String>,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Find all that is wrong with a file; nothing is changed
    #[command(after_help = "\
Examples:
  patronus config check
  patronus config check new.yaml --json
  patronus config effective old.yaml | patronus config check -

Of a file in /etc/patronus, the keys and password files on this machine are looked at too.")]
    Check {
        /// The file; `-` is the standard input
        #[arg(default_value = "/etc/patronus/config.yaml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Print a file with every default written out, as the router understands it
    #[command(after_help = "\
Passwords are left out.

Examples:
  patronus config effective
  diff <(patronus config effective old.yaml) <(patronus config effective new.yaml)")]
    Effective {
        /// The file; `-` is the standard input
        #[arg(default_value = "/etc/patronus/config.yaml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Print the JSON Schema of the file, for editors
    #[command(after_help = "\
Examples:
  patronus config schema > config.schema.json")]
    Schema,

    /// Print a commented example
    #[command(after_help = "\
Examples:
  patronus config example > config.yaml
  patronus config example --minimal")]
    Example {
        /// The shortest file that works instead
        #[arg(long)]
        minimal: bool,
    },
}

/// Whether a command line asks for JSON, whatever else is wrong with it.
pub(crate) fn asks_for_json(mut args: impl Iterator<Item = OsString>) -> bool {
    args.by_ref()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

/// A code point, as the configuration spells it.
fn dscp(text: &str) -> Result<u8, String> {
    let code = patronus_config::parse_dscp(text);
    code.map(|code| code.get())
        .ok_or_else(|| "use a name like EF, AF41, CS5 or BE, or 0 to 63".to_owned())
}

/// A time between two pictures, or to wait: not so short that the daemon is kept from its work.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "use a number of seconds like 2 or 0.5")?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("use 0.1 to 86400 seconds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_pages_are_up_to_date() {
        patronus_tidy::manual::check(Cli::command(), "1");
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            let leaf = command.get_subcommands().next().is_none();
            let help = command.clone().render_help().to_string();
            let known = ["help", "last"].contains(&command.get_name());
            assert!(
                !leaf || known || help.contains("Examples:"),
                "{}",
                command.get_name()
            );
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn watching_needs_no_number() {
        let every = |args: &[&str]| {
            let all = ["patronus", "paths"].iter().chain(args);
            match Cli::try_parse_from(all).map(|cli| cli.command) {
                Ok(Command::Paths(PathsArgs { show, .. })) => show.watch,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(every(&[]), None);
        assert_eq!(every(&["--watch"]), Some(Duration::from_millis(500)));
        assert_eq!(
            every(&["--watch=2", "--site", "lisbon"]),
            Some(Duration::from_secs(2))
        );
        assert_eq!(
            every(&["--watch", "--site", "lisbon"]),
            Some(Duration::from_millis(500))
        );
        assert!(Cli::try_parse_from(["patronus", "paths", "--watch=0"]).is_err());
    }

    #[test]
    fn a_flow_needs_both_ends_but_the_last_move_needs_nothing() {
        let parses = |args: &[&str]| {
            let all = ["patronus", "explain"].iter().chain(args);
            Cli::try_parse_from(all).is_ok()
        };
        assert!(parses(&["last"]));
        assert!(parses(&["last", "--json"]));
        assert!(parses(&["--src", "10.0.0.1", "--dst", "10.0.0.2"]));
        assert!(!parses(&["--src", "10.0.0.1"]));
        assert!(!parses(&[]));
    }
}
