//! What people see of the demo.
#![allow(
    clippy::print_stdout,
    reason = "showing things is all that a demo does"
)]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;

use crate::network::Network;

/// How often the routers are asked what happened.
const ASK: Duration = Duration::from_millis(200);

/// Seconds.
const DAY: f64 = 86_400.0;

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
                if !router.daemon()?.is_running()? {
                    continue; // It was killed, and the others have something to tell.
                }
                let events = router.json(&["events"])?;
                news.extend(self.news(site, &events));
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
    fn news(&mut self, site: &str, events: &Value) -> Vec<(f64, String)> {
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
            Some((self.on_our_clock(event.get("time")?.as_str()?)?, text))
        };
        list.iter().filter(shown).filter_map(timed).collect()
    }

    /// A time by RFC 3339, which is less than half a day ago, as seconds since the start.
    fn on_our_clock(&self, time: &str) -> Option<f64> {
        let (_, clock) = time.trim_end_matches('Z').split_once('T')?;
        let mut parts = clock.split(':').map(str::parse::<f64>);
        let mut part = || parts.next()?.ok();
        let of_day = part()? * 3600.0 + part()? * 60.0 + part()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let age = (now.as_secs_f64() - of_day).rem_euclid(DAY);
        // Just now may round to the next moment.
        let age = if age > DAY / 2.0 { 0.0 } else { age };
        Some(self.started.elapsed().as_secs_f64() - age)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_at_its_own_time() {
        let started = Instant::now().checked_sub(Duration::from_secs(10));
        let screen = Screen {
            started: started.expect("up for ten seconds"),
            ..Screen::default()
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let day = now.as_secs_f64() % DAY;
        for (ago, expected) in [(0.0, 10.0), (4.0, 6.0), (12.0, -2.0)] {
            let then = (day - ago).rem_euclid(DAY);
            let (minutes, seconds) = (then as u64 / 60, then % 60.0);
            let (hour, minute) = (minutes / 60, minutes % 60);
            let time = format!("2026-11-20T{hour:02}:{minute:02}:{seconds:06.3}Z");
            let shown = screen.on_our_clock(&time).expect("a time");
            assert!((shown - expected).abs() < 0.5, "{time}: {shown}");
        }
        assert_eq!(screen.on_our_clock("yesterday"), None);
    }
}
