//! Showing something again and again.

use std::io;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::interrupt::interrupted;
use crate::layout::{Memory, Page, Text, Tone};
use crate::output;
use crate::trouble::Trouble;
use crate::units;
use crate::views::View;

/// Shows a view until Ctrl-C. On a terminal each picture takes the place of the one before; where
/// the output goes elsewhere, they follow each other.
pub(crate) async fn watch(
    client: &Client,
    view: &dyn View,
    every: Duration,
    json: bool,
) -> Result<u8, Trouble> {
    let mut screen = None;
    let mut last = Last::default();
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let frames = async {
        loop {
            beat.tick().await;
            frame(client, view, json, &mut screen, &mut last).await?;
        }
    };
    let result: Result<(), Trouble> = tokio::select! {
        result = frames => result,
        ended = interrupted() => ended.map_err(Trouble::from),
    };
    drop(screen);
    result?;
    // What was seen last stays on the terminal.
    if output::is_terminal() && !json {
        output::write(&last.drawn)?;
    }
    Ok(last.status)
}

/// What was shown last.
#[derive(Default)]
struct Last {
    page: Option<(Page, Instant)>,
    status: u8,
    drawn: String,
    memory: Memory,
}

async fn frame(
    client: &Client,
    view: &dyn View,
    json: bool,
    screen: &mut Option<Screen>,
    last: &mut Last,
) -> Result<(), Trouble> {
    let page = match client.ask(view.query(), &view.variables()).await {
        Ok(data) if json => {
            last.status = view.render(data.clone())?.status();
            return Ok(output::write_json_line(&view.json(data)?)?);
        }
        Ok(data) => {
            let shown = view.render(data)?;
            last.status = shown.status();
            last.page = Some((shown.page.clone(), Instant::now()));
            shown.page
        }
        Err(trouble @ Trouble::Output(_)) => return Err(trouble),
        // What has been seen stays in view, whatever keeps us from seeing more: a daemon that is
        // being restarted first is not there, and then takes a moment to answer.
        Err(trouble) => match (&last.page, json) {
            (Some((page, at)), false) => outdated(page.clone(), at.elapsed(), &trouble),
            (None, _) | (_, true) => return Err(trouble),
        },
    };
    if !json && output::is_terminal() && screen.is_none() {
        *screen = Some(Screen::open()?);
    }
    let mut canvas = output::canvas();
    if screen.is_some() {
        // A terminal whose last column is taken erases it when told to erase what follows.
        canvas.width = canvas.width.map(|width| width.saturating_sub(1));
    }
    last.drawn = page.draw(canvas, &mut last.memory);
    match screen {
        Some(screen) => screen.show(&last.drawn)?,
        None => output::write(&format!("{}\n", last.drawn))?,
    }
    Ok(())
}

/// An old picture, which says that it is old: in one line, so that the rest hardly moves.
fn outdated(page: Page, age: Duration, trouble: &Trouble) -> Page {
    let age = units::span(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut old = page;
    let mut notice = Page::default();
    let text = format!("◌ what follows is {age} old: {trouble}");
    notice.split(Text::toned(Tone::Warning, text), "");
    old.prepend(notice);
    old
}

/// The terminal's alternate screen, without a cursor, for as long as this lives.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        output::write("\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(Self)
    }

    /// Puts lines over those that are there. Nothing is erased before it is written over, so that
    /// nothing flickers.
    fn show(&mut self, text: &str) -> io::Result<()> {
        let mut out = String::from("\x1b[H");
        let lines: Vec<&str> = text.lines().take(output::height()).collect();
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            out.push_str(line);
            out.push_str("\x1b[K");
        }
        out.push_str("\x1b[J");
        output::write(&out)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = output::write("\x1b[?25h\x1b[?1049l");
    }
}
