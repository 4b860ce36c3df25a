//! Patronus on the routers of a lab: keys, configuration files, FRR and `patronusd`, as the Debian
//! package would have them.

mod config;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use patronus_lab::{Lab, Process, RUN_LIMIT, Router};
use serde_json::Value;

/// Where the package has it.
const CONFIG: &str = "/etc/patronus/config.yaml";
/// Where `patronusd` keeps its private keys.
const KEYS: &str = "/var/lib/patronus/keys";

/// Patronus on all routers of a lab.
#[derive(Debug)]
pub struct Deployment {
    routers: BTreeMap<String, Deployed>,
}

/// Patronus on one router.
#[derive(Debug)]
pub struct Deployed {
    router: Router,
    config: Value,
    daemon: Option<Process>,
}

impl Deployment {
    /// Makes keys and configuration files, and starts FRR and `patronusd` everywhere. `adjust`
    /// changes what the file of a site says.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub fn start(lab: &Lab, adjust: impl Fn(&str, &mut Value)) -> Result<Self> {
        let mut deployment = Self::prepare(lab, adjust)?;
        for deployed in deployment.routers.values_mut() {
            deployed.start_frr()?;
            deployed.start_daemon()?;
        }
        Ok(deployment)
    }

    /// Makes keys and configuration files, and starts nothing.
    ///
    /// # Errors
    /// When `wg` is missing, or a file cannot be written.
    pub fn prepare(lab: &Lab, adjust: impl Fn(&str, &mut Value)) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for site in &lab.plan().sites {
            let router = lab.router(&site.name)?;
            for uplink in &site.uplinks {
                let public = make_key(&router, &uplink.name)?;
                keys.insert((site.name.clone(), uplink.name.clone()), public);
            }
        }
        let mut routers = BTreeMap::new();
        for site in &lab.plan().sites {
            let mut config = config::config(lab.plan(), site, &keys)?;
            adjust(&site.name, &mut config);
            let deployed = Deployed {
                router: lab.router(&site.name)?,
                config,
                daemon: None,
            };
            deployed.write_config()?;
            routers.insert(site.name.clone(), deployed);
        }
        Ok(Self { routers })
    }

    /// Patronus at a site.
    ///
    /// # Errors
    /// When there is no such site.
    pub fn at(&mut self, site: &str) -> Result<&mut Deployed> {
        self.routers
            .get_mut(site)
            .with_context(|| format!("there is no site {site:?}"))
    }

    /// All routers.
    pub fn routers(&mut self) -> impl Iterator<Item = (&str, &mut Deployed)> {
        self.routers
            .iter_mut()
            .map(|(name, deployed)| (name.as_str(), deployed))
    }

    /// Waits until every path of every router is up and every BGP session is established.
    /// Returns how long that took.
    ///
    /// # Errors
    /// Says what is missing when it takes longer than `patience`.
    pub fn wait_until_well(&self, patience: Duration) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let problem = |(name, deployed): (&String, &Deployed)| {
                Some(format!("{name}: {}", deployed.problem()?))
            };
            let problems: Vec<String> = self.routers.iter().filter_map(problem).collect();
            if problems.is_empty() {
                return Ok(started.elapsed());
            }
            if started.elapsed() > patience {
                bail!("not well after {patience:?}: {}", problems.join("; "));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Deployed {
    /// Its router.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Its configuration.
    pub fn config(&mut self) -> &mut Value {
        &mut self.config
    }

    /// The daemon.
    ///
    /// # Errors
    /// When it has not been started.
    pub fn daemon(&mut self) -> Result<&mut Process> {
        self.daemon
            .as_mut()
            .context("patronusd has not been started")
    }

    /// Writes the configuration file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self) -> Result<()> {
        let text = serde_saphyr::to_string(&self.config).context("writing YAML")?;
        self.router.write_file(CONFIG, text)
    }

    /// Prepares FRR's pathspace and starts FRR.
    ///
    /// # Errors
    /// When FRR is not installed or does not start.
    pub fn start_frr(&self) -> Result<()> {
        self.patronusd(&["prepare-frr"])?;
        self.router.start_frr()
    }

    /// Starts `patronusd`, and returns when it answers.
    ///
    /// # Errors
    /// When it ends; says what it logged.
    pub fn start_daemon(&mut self) -> Result<()> {
        // Labs are the same on every kernel, and have processes that tests can kill.
        let user_space = OsString::from("--user-space-wireguard");
        let words = [program("patronusd")?.into(), user_space];
        let mut daemon = self.router.spawn_daemon(words)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self
            .patronus(&["status"])
            .is_err_and(|error| is_unreachable(&error))
        {
            if !daemon.is_running()? || Instant::now() > deadline {
                bail!(
                    "patronusd did not start: {}{}",
                    daemon.stdout()?,
                    daemon.stderr()?
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Runs `patronusd` with a subcommand, to its end.
    ///
    /// # Errors
    /// When it fails; says what it printed.
    pub fn patronusd(&self, arguments: &[&str]) -> Result<String> {
        self.run("patronusd", arguments)
    }

    /// Runs the command line.
    ///
    /// # Errors
    /// When it fails; says what it printed.
    pub fn patronus(&self, arguments: &[&str]) -> Result<String> {
        self.run("patronus", arguments)
    }

    /// Runs a listing of the command line with `--json`. That something is not well, exit status 1,
    /// is an answer like any other.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(program("patronus")?);
        command.args(arguments).arg("--json");
        let output = self.router.node().output(&command, RUN_LIMIT)?;
        let answered = matches!(output.status.code(), Some(0 | 1));
        ensure!(
            answered,
            "{arguments:?}: {}: {}",
            output.status,
            output.stderr
        );
        serde_json::from_str(&output.stdout)
            .with_context(|| format!("{arguments:?}: {}{}", output.stdout, output.stderr))
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut argv = vec![program(name)?.into_os_string()];
        argv.extend(arguments.iter().map(Into::into));
        self.router.node().run(argv)
    }

    /// What is not well, if anything.
    fn problem(&self) -> Option<String> {
        let check = || -> Result<Option<String>> {
            let paths = self.json(&["paths"])?;
            let paths = paths.as_array().context("paths: no list")?;
            let bad = paths
                .iter()
                .filter(|path| path.get("status").is_none_or(|status| status != "up"))
                .count();
            if bad > 0 {
                return Ok(Some(format!("{bad} of {} paths are not up", paths.len())));
            }
            let bgp = self.json(&["bgp"])?;
            let neighbors = bgp
                .get("neighbors")
                .and_then(Value::as_array)
                .context("bgp: no neighbors")?;
            let bad = neighbors
                .iter()
                .filter(|neighbor| neighbor.get("established").is_none_or(|up| up != true))
                .count();
            Ok((bad > 0).then(|| format!("{bad} of {} BGP sessions are down", neighbors.len())))
        };
        check().unwrap_or_else(|error| Some(format!("{error:#}")))
    }
}

/// The command line's exit status 3: it cannot reach the daemon.
fn is_unreachable(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("status: 3")
}

/// A program of the workspace: beside this one, or one directory up where this is a test.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("finding the running program")?;
    let beside = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    let found = beside.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("{name} has not been built; run: cargo build --workspace --bins"))
}

/// Generates a key where `patronusd` looks for it. Returns the public half.
fn make_key(router: &Router, uplink: &str) -> Result<String> {
    let file = format!("{KEYS}/{uplink}");
    let script = format!("umask 077; mkdir -p {KEYS}; wg genkey > {file}; wg pubkey < {file}");
    let public = router
        .node()
        .run(["sh", "-c", &script])
        .context("making a key with wg")?;
    Ok(public.trim().to_owned())
}
