//! `patronus`, the command line: a client of the API.
//!
//! | question | module |
//! |---|---|
//! | Which commands are there? | `args` |
//! | What does a command ask, and how is the answer shown? | `views` |
//! | What does the daemon answer? | `answers` |
//! | How is it reached? | `client` |
//! | How does text fit a terminal? | `layout`, `units` |
//! | What does a configuration refer to on this machine? | `surroundings` |
//! | `--watch`, `--follow`? | `watch`, `follow` |
//! | Which exit status means what? | `trouble` |
//!
//! Views and layout are pure: data in, text out. Only `output` writes.

mod answers;
mod args;
mod client;
mod config;
mod doctor;
mod follow;
mod interrupt;
mod layout;
mod output;
mod reload;
mod sibling;
mod surroundings;
mod trouble;
mod units;
mod views;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::json;

use args::{Cli, Command, EventsArgs, ExplainArgs, ExplainWhat, FlowArgs, Show};
use client::Client;
use layout::Memory;
use trouble::Trouble;
use views::View;

fn main() -> ExitCode {
    let json = args::asks_for_json(std::env::args_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if json && error.use_stderr() => {
            let usage = Trouble::Usage(error.render().to_string().trim().to_owned());
            output::complain_of(&usage, json);
            return usage.status().into();
        }
        // Help and versions are no errors, and all else is said as clap says it.
        Err(error) => error.exit(),
    };
    match run(cli) {
        Ok(status) => status.into(),
        Err(trouble) => {
            if trouble.status() != 0 {
                output::complain_of(&trouble, json);
            }
            trouble.status().into()
        }
    }
}

fn run(cli: Cli) -> Result<u8, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = Client::new(cli.socket, cli.timeout);
    let show = |view: &dyn View, how: &Show| runtime.block_on(show(&client, view, how));
    match cli.command {
        Command::Status(how) => show(&views::status::Status, &how),
        Command::Uplinks(how) => show(&views::uplinks::Uplinks, &how),
        Command::Sites(how) => show(&views::sites::Sites, &how),
        Command::Paths(args) => show(
            &views::paths::Paths {
                site: args.site,
                status: args.status,
            },
            &args.show,
        ),
        Command::Policies(how) => show(&views::policies::Policies, &how),
        Command::Routes(args) => show(
            &views::routes::Routes {
                site: args.site,
                contains: args.contains,
            },
            &args.show,
        ),
        Command::Bgp(how) => show(&views::bgp::Bgp, &how),
        Command::Bfd(how) => show(&views::bfd::Bfd, &how),
        Command::Events(args) => runtime.block_on(events(&client, args)),
        Command::Explain(ExplainArgs {
            what: Some(ExplainWhat::Last(how)),
            ..
        }) => show(&views::last_move::LastMove, &how),
        Command::Explain(args) => show(&explain(args.flow), &args.show),
        Command::Forget {
            prefix: Some(prefix),
            json,
            ..
        } => runtime.block_on(forget(&client, &prefix, json)),
        Command::Forget {
            prefix: None,
            within,
            all: _,
            dry_run,
            json,
        } => runtime.block_on(forget_within(&client, within.as_deref(), dry_run, json)),
        Command::Reload { json } => runtime.block_on(reload::reload(&client, json)),
        Command::Config(command) => config::run(command),
        Command::Doctor { json } => doctor::doctor(json),
        Command::Teardown {
            dry_run,
            yes,
            json,
            more,
        } => Err(sibling::teardown(dry_run, yes, json, more)),
        Command::Completions { shell } => completions(shell),
    }
}

async fn show(client: &Client, view: &dyn View, how: &Show) -> Result<u8, Trouble> {
    if let Some(every) = how.watch {
        return watch::watch(client, view, every, how.json).await;
    }
    let data = client.ask(view.query(), &view.variables()).await?;
    let shown = view.render(data.clone())?;
    if how.json {
        output::write_json(&view.json(data)?)?;
    } else {
        output::write(&shown.page.draw(output::canvas(), &mut Memory::default()))?;
    }
    Ok(shown.status())
}

async fn events(client: &Client, args: EventsArgs) -> Result<u8, Trouble> {
    let view = views::events::Events {
        last: Some(args.last),
        after: None,
        day: None,
    };
    if args.follow {
        follow::follow(client, view, args.show.json).await
    } else {
        show(client, &view, &args.show).await
    }
}

async fn forget(client: &Client, prefix: &str, json: bool) -> Result<u8, Trouble> {
    const MUTATION: &str = "mutation Forget($prefix: String!) { forgetPrefix(prefix: $prefix) }";
    let data = client.ask(MUTATION, &json!({ "prefix": prefix })).await?;
    if json {
        output::write_json(&data)?;
    } else {
        let gone = data.get("forgetPrefix").and_then(|gone| gone.as_str());
        let gone = gone.unwrap_or(prefix);
        output::write(&format!(
            "{gone} is forgotten. Unless the configuration guards it, or a wider prefix, packets for \
             it go where the main table leads.\n"
        ))?;
    }
    Ok(0)
}

/// Forgets all within a prefix, or all there are.
async fn forget_within(
    client: &Client,
    within: Option<&str>,
    dry_run: bool,
    json: bool,
) -> Result<u8, Trouble> {
    const MUTATION: &str = "mutation Forget($within: String, $dryRun: Boolean!) {
        forgetPrefixes(within: $within, dryRun: $dryRun)
    }";
    let variables = json!({ "within": within, "dryRun": dry_run });
    let data = client.ask(MUTATION, &variables).await?;
    if json {
        output::write_json(&data)?;
        return Ok(0);
    }
    let gone = data.get("forgetPrefixes").and_then(|gone| gone.as_array());
    let gone = gone.into_iter().flatten().filter_map(|it| it.as_str());
    let mut text: String = gone.map(|prefix| format!("{prefix}\n")).collect();
    text += match (text.is_empty(), dry_run) {
        (true, _) => "Nothing to forget: no such prefix is announced no more.\n",
        (false, true) => "would be forgotten.\n",
        (false, false) => {
            "are forgotten. Unless the configuration guards them, or a wider prefix, packets for them \
             go where the main table leads.\n"
        }
    };
    output::write(&text)?;
    Ok(0)
}

fn explain(flow: FlowArgs) -> views::explain::Explain {
    let variables = json!({
        "source": flow.src,
        "destination": flow.dst,
        "protocol": flow.proto,
        "sourcePort": flow.sport,
        "destinationPort": flow.dport,
        "dscp": flow.dscp,
        "ingress": flow.ingress,
    });
    views::explain::Explain { variables }
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "patronus", &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
