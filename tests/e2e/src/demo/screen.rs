//! What people see of the demo.
#![allow(
    clippy::print_stdout,
    reason = "showing things is all that a demo does"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::network::Network;

/// How often the routers are asked what happened.
const ASK: Duration = Duration::from_millis(200);

/// Prints what happens, with the time since the start.
pub struct Screen {
    started: Instant,
    colour: bool,
    /// The last event of each site that has been shown.
    seen: BTreeMap<String, u64>,
}

impl Default for Screen {
    fn default() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            started: Instant::now(),
            colour,
            seen: BTreeMap::new(),
        }
    }
}

impl Screen {
    /// Something that is so.
    pub fn say(&self, text: &str) {
        self.line("", text, "");
    }

    /// Something that we do to the network.
    pub fn act(&self, text: &str) {
        self.line("\x1b[1m", &format!("▶ {text}"), "\x1b[0m");
    }

    /// Shows for a while what the routers report: paths that change and traffic that moves.
    ///
    /// # Errors
    /// When a router cannot be asked.
    pub fn watch(&mut self, network: &mut Network, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            std::thread::sleep(ASK);
            let mut news = Vec::new();
            for (site, router) in network.patronus.routers() {
                let events = router.json(&["events"])?;
                let now = self.started.elapsed().as_secs_f64();
                news.extend(self.news(site, now, &events));
            }
            // In the order in which it happened, not in which the routers were asked.
            news.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            for (when, text) in news {
                self.line_at(when, "\x1b[36m", &text, "\x1b[0m");
            }
        }
        Ok(())
    }

    /// What has happened since the last time, each with its own time on our clock.
    fn news(&mut self, site: &str, now: f64, events: &Value) -> Vec<(f64, String)> {
        let list = events.as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |event: &Value| event.get("sequence").and_then(Value::as_u64).unwrap_or(0);
        let kind = |event: &Value| {
            matches!(
                event.get("kind").and_then(Value::as_str),
                Some("moved" | "path" | "dampened")
            )
        };
        let last = self.seen.get(site).copied();
        self.seen
            .insert(site.to_owned(), list.iter().map(number).max().unwrap_or(0));
        // What happened before we began to watch is how the network came up.
        let Some(last) = last else { return Vec::new() };
        let shown = |event: &&Value| number(event) > last && kind(event);
        let timed = |event: &Value| {
            let text = format!("  {site:<7} {}", event.get("message")?.as_str()?);
            Some((now - event.get("agoMs")?.as_f64()? / 1e3, text))
        };
        list.iter().filter(shown).filter_map(timed).collect()
    }

    fn line(&self, before: &str, text: &str, after: &str) {
        let now = self.started.elapsed().as_secs_f64();
        self.line_at(now, before, text, after);
    }

    fn line_at(&self, seconds: f64, before: &str, text: &str, after: &str) {
        let (before, after) = if self.colour {
            (before, after)
        } else {
            ("", "")
        };
        println!("{seconds:6.1} s  {before}{text}{after}");
    }
}
