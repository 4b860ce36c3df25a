//! The commands and their arguments.

mod act;
mod show;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use patronus_lab::{Cut, Direction, Lab, Loss, Rate, Span, internal};

const EXAMPLES: &str = "Examples:
  patronus-lab up                             three sites with two uplinks each
  patronus-lab up my.yaml --name try          another topology, another name
  patronus-lab status                         what there is, and what is cut
  patronus-lab exec berlin ip route           run something on a node
  patronus-lab cut berlin fibre               packets vanish, the carrier stays
  patronus-lab degrade berlin lte --delay 80ms --loss 3%
  patronus-lab heal --all                     as it was in the beginning
  patronus-lab traffic berlin lisbon          500 packets a second, both ways
  patronus-lab down                           everything is gone

Exit status: 0 well, 1 failed or not found, 2 wrong usage.";

/// Labs: sites, ISPs and hosts in network namespaces, with a WAN that can be broken.
///
/// A lab touches nothing outside of its own namespaces, and leaves nothing behind, however it
/// ends. Several labs can be up at once. Labs need root.
#[derive(Debug, Parser)]
#[command(name = "patronus-lab", version, after_help = EXAMPLES, max_term_width = 80)]
pub(crate) struct Arguments {
    /// Which lab is meant; by default the only one brought up by `up`, which makes one of this name
    #[arg(long, global = true, value_name = "NAME", env = "PATRONUS_LAB")]
    lab: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a lab up
    Up(Up),
    /// Show the uplinks of a lab and what is done to them
    Status(Output),
    /// List the labs that are up
    List(Output),
    /// Show the names and addresses that derive from a topology
    Plan {
        /// A file in YAML; three sites by default
        topology: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Print the default topology, as an example to start from
    Example,
    /// Run a program on a node, in this directory, and with the programs that were built beside
    /// patronus-lab in its PATH
    #[command(after_help = "Example: patronus-lab exec berlin-h1 ping -c3 10.2.0.11")]
    Exec {
        /// See `patronus-lab status`
        node: String,
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        argv: Vec<String>,
    },
    /// Break an uplink
    Cut(CutArguments),
    /// Undo cuts and degradations
    Heal {
        #[command(flatten)]
        target: OptionalTarget,
        /// All uplinks
        #[arg(long, conflicts_with_all = ["site", "uplink"])]
        all: bool,
    },
    /// Make an uplink worse, or better
    #[command(after_help = "Example: patronus-lab degrade berlin lte --delay 80ms --loss 3%")]
    Degrade(Degrade),
    /// Let an uplink on DHCP get another address
    Renumber(Target),
    /// Send traffic between two nodes and measure what becomes of it
    Traffic(traffic::Traffic),
    /// End a lab
    Down {
        /// All labs that `patronus-lab up` brought up
        #[arg(long)]
        all: bool,
    },
    /// Remove what dead labs left behind (an ordinary end leaves nothing)
    Sweep,
    #[command(hide = true)]
    Supervise { name: String },
    #[command(hide = true)]
    Relay { links: String },
    #[command(hide = true)]
    Fingerprint,
}

#[derive(Debug, Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Up {
    /// A file in YAML; three sites by default
    topology: Option<PathBuf>,
    /// Name of the lab; by default that of --lab, or "lab"
    #[arg(long)]
    name: Option<String>,
    /// Stay, and end the lab with Ctrl-C
    #[arg(long)]
    foreground: bool,
    /// Start FRR on all routers
    #[arg(long)]
    frr: bool,
}

#[derive(Debug, Args)]
struct Target {
    /// The site
    site: String,
    /// Its uplink
    uplink: String,
}

#[derive(Debug, Args)]
struct OptionalTarget {
    /// The site
    #[arg(required_unless_present = "all")]
    site: Option<String>,
    /// Its uplink
    #[arg(required_unless_present = "all")]
    uplink: Option<String>,
}

#[derive(Debug, Args)]
struct CutArguments {
    #[command(flatten)]
    target: Target,
    /// How
    #[arg(long, value_enum, default_value_t = Mode::Swallow)]
    mode: Mode,
    /// How long a flapping uplink is down each time
    #[arg(long, default_value = "3s")]
    down: Span,
    /// How long it is up each time
    #[arg(long, default_value = "3s")]
    up: Span,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// The router's interface loses its carrier
    Carrier,
    /// The carrier stays, all packets vanish
    Swallow,
    /// Packets from the router vanish
    Tx,
    /// Packets to the router vanish
    Rx,
    /// Packets vanish and pass in turn
    Flap,
    /// The carrier comes and goes
    FlapCarrier,
}

impl CutArguments {
    fn cut(&self) -> Cut {
        let flap = |carrier| Cut::Flap {
            down: self.down,
            up: self.up,
            carrier,
        };
        match self.mode {
            Mode::Carrier => Cut::Carrier,
            Mode::Swallow => Cut::Swallow,
            Mode::Tx => Cut::Tx,
            Mode::Rx => Cut::Rx,
            Mode::Flap => flap(false),
            Mode::FlapCarrier => flap(true),
        }
    }
}

#[derive(Debug, Args)]
struct Degrade {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    change: Change,
    /// Which packets, as the router sees it
    #[arg(long, value_enum, default_value_t = Way::Both)]
    direction: Way,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// Delay in each direction, like 80ms
    #[arg(long)]
    delay: Option<Span>,
    /// Random extra delay, like 5ms
    #[arg(long)]
    jitter: Option<Span>,
    /// Loss in each direction, like 3%
    #[arg(long)]
    loss: Option<Loss>,
    /// Bandwidth, like 10mbit
    #[arg(long)]
    rate: Option<Rate>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    Both,
    Up,
    Down,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::Both => Self::Both,
            Way::Up => Self::Up,
            Way::Down => Self::Down,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// When it fails; the caller prints the reason.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let lab = arguments.lab.as_deref();
    match arguments.command {
        Command::Supervise { name } => {
            // The reason is on stdout already, where the library reads it.
            return Ok(match internal::supervise(&name) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            });
        }
        Command::Relay { links } => internal::relay(&links)?,
        Command::Fingerprint => println!("{}", internal::FINGERPRINT),
        other => {
            internal::die_on_broken_pipe()?;
            return run_for_people(lab, other);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_for_people(lab: Option<&str>, command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(up) => {
            let name = up.name.as_deref().or(lab).unwrap_or("lab");
            act::up(&up, name)?;
        }
        Command::Status(output) => show::status(&find(lab)?, output.json)?,
        Command::List(output) => show::list(output.json)?,
        Command::Plan { topology, output } => show::plan(topology.as_deref(), output.json)?,
        Command::Example => print!("{}", patronus_lab::topology::DEFAULT),
        Command::Exec { node, argv } => return act::exec(&find(lab)?, &node, &argv),
        Command::Cut(cut) => act::cut(&find(lab)?, &cut)?,
        Command::Heal { target, all: _ } => act::heal(&find(lab)?, &target)?,
        Command::Degrade(change) => act::degrade(&find(lab)?, &change)?,
        Command::Renumber(target) => act::renumber(&find(lab)?, &target)?,
        Command::Traffic(traffic) => return traffic::run(&find(lab)?, &traffic),
        Command::Down { all } => act::down(lab, all)?,
        Command::Sweep => act::sweep()?,
        Command::Supervise { .. } | Command::Relay { .. } | Command::Fingerprint => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab that is meant.
fn find(name: Option<&str>) -> Result<Lab> {
    Lab::attach(&name_of(name)?)
}

fn name_of(name: Option<&str>) -> Result<String> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let offered = patronus_lab::offered()?;
    match offered.as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!("no lab is up; start one with: patronus-lab up"),
        several => bail!(
            "several labs are up: {}; choose with --lab NAME",
            several.join(", ")
        ),
    }
}
