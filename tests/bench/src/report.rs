//! What a recipe leaves behind: a table for people, a JSON file for machines.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where reports go, seen from the root of the repository.
pub const DIRECTORY: &str = "target/bench";

/// What a value should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Not above.
    AtMost(f64),
    /// Not below.
    AtLeast(f64),
}

impl Target {
    /// Whether a value is what it should be.
    #[must_use]
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let limit = |number: &str| number.parse().map_err(de::Error::custom);
        match text.split_once(' ') {
            Some(("<=", number)) => limit(number).map(Self::AtMost),
            Some((">=", number)) => limit(number).map(Self::AtLeast),
            _ => Err(de::Error::custom(format!("no target: {text:?}"))),
        }
    }
}

/// One result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, in snake case and for ever the same.
    pub metric: String,
    /// Our value.
    pub value: f64,
    /// Its unit, for example `%` or `s`; `1` for ratios and counts.
    pub unit: String,
    /// What was measured beside us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Its value, in the same unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_value: Option<f64>,
    /// What our value should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

impl Row {
    /// A value of ours.
    #[must_use]
    pub fn new(metric: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            metric: metric.into(),
            value,
            unit: unit.to_owned(),
            peer: None,
            peer_value: None,
            target: None,
        }
    }

    /// Beside the value of somebody else.
    #[must_use]
    pub fn beside(mut self, peer: &str, value: f64) -> Self {
        self.peer = Some(peer.to_owned());
        self.peer_value = Some(value);
        self
    }

    /// With what it should be.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether it has a target and does not meet it.
    #[must_use]
    pub fn misses(&self) -> bool {
        self.target
            .is_some_and(|target| !target.is_met_by(self.value))
    }
}

/// Where the results are from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cores: usize,
    /// Their model, as far as the kernel knows it.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// The average number of tasks that wanted a CPU in the minute before: above some 0.5 per
    /// core, trust ratios only.
    pub load: f64,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model
            .and_then(|line| line.split_once(':'))
            .map_or("unknown", |(_, name)| name);
        let load = read("/proc/loadavg");
        Self {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            cpu: model.trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
        }
    }
}

/// Everything that one run of a recipe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub results: Vec<Row>,
}

impl Report {
    /// Writes `RECIPE.json` into `directory`, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path, recipe: &str) -> Result<PathBuf> {
        let path = directory.join(recipe).with_extension("json");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, format!("{:#}\n", serde_json::json!(self))))
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Reads what [`Self::write`] has written.
    ///
    /// # Errors
    /// When it is not there, or is something else.
    pub fn read(directory: &Path, recipe: &str) -> Result<Self> {
        let path = directory.join(recipe).with_extension("json");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no report", path.display()))
    }

    /// Prints the table, and writes `RECIPE.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    #[expect(clippy::print_stdout, reason = "a command-line tool")]
    pub fn publish(&self, to: &Destination, recipe: &str) -> Result<()> {
        println!("{self}");
        println!("{}", self.write(&to.output, recipe)?.display());
        Ok(())
    }

    /// The values that are not what they should be.
    pub fn missed(&self) -> impl Iterator<Item = &Row> {
        self.results.iter().filter(|row| row.misses())
    }
}

/// Where the report of a recipe goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Destination {
    /// Where the report goes.
    #[arg(long, default_value = DIRECTORY)]
    pub output: PathBuf,
}

/// Says how far a recipe has come.
#[expect(clippy::print_stdout, reason = "a command-line tool")]
pub fn progress(text: impl fmt::Display) {
    println!("  {text}");
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            cores,
            cpu,
            kernel,
            load,
        } = &self.machine;
        writeln!(f, "{cores} × {cpu}, Linux {kernel}, load {load}\n")?;
        writeln!(
            f,
            "{:<36} {:>12} {:>12}  {:<14} target, peer",
            "metric", "ours", "theirs", "unit"
        )?;
        for row in &self.results {
            let theirs = row
                .peer_value
                .map_or_else(String::new, |value| format!("{value:.3}"));
            let target = row.target.map_or_else(String::new, |target| {
                let verdict = if target.is_met_by(row.value) {
                    "met"
                } else {
                    "MISSED"
                };
                format!("{target} ({verdict})")
            });
            let Row {
                metric,
                value,
                unit,
                peer,
                ..
            } = row;
            let notes = [
                Some(target),
                peer.as_ref().map(|peer| format!("theirs: {peer}")),
            ];
            let notes: Vec<_> = notes
                .into_iter()
                .flatten()
                .filter(|n| !n.is_empty())
                .collect();
            let notes = notes.join("; ");
            let line = format!("{metric:<36} {value:>12.3} {theirs:>12}  {unit:<14} {notes}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_shape_that_its_readers_know() {
        let results = vec![
            Row::new("ratio", 0.5, "1")
                .beside("bfdd", 2.0)
                .target(Target::AtMost(1.0)),
            Row::new("plain", 3.0, "s"),
        ];
        let machine = Machine {
            cores: 2,
            cpu: "a".into(),
            kernel: "6".into(),
            load: 0.5,
        };
        let report = Report { machine, results };
        let json = serde_json::json!(report);
        let expected = serde_json::json!({
            "machine": {"cores": 2, "cpu": "a", "kernel": "6", "load": 0.5},
            "results": [
                {"metric": "ratio", "value": 0.5, "unit": "1", "peer": "bfdd", "peer_value": 2.0,
                 "target": "<= 1"},
                {"metric": "plain", "value": 3.0, "unit": "s"},
            ],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
