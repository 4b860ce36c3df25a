//! The only place that writes to the terminal.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::layout::Canvas;
use crate::trouble::Trouble;

/// Writes text.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a JSON value, indented.
pub(crate) fn write_json(value: &Value) -> io::Result<()> {
    write(&format!("{value:#}\n"))
}

/// Writes a JSON value on one line.
pub(crate) fn write_json_line(value: &Value) -> io::Result<()> {
    write(&format!("{value}\n"))
}

/// Writes a message to people beside the output.
pub(crate) fn complain(message: &str) {
    // Where nobody can be told, nobody can be told that either.
    let _ = writeln!(io::stderr().lock(), "patronus: {message}");
}

/// Says what went wrong beside the output: to people, or, where JSON was asked for, to programs.
/// Every command does it here, so that all do it alike.
pub(crate) fn complain_of(trouble: &Trouble, json: bool) {
    if !json {
        return complain(&trouble.to_string());
    }
    let error = json!({ "error": { "code": trouble.code(), "message": trouble.to_string() } });
    // As above.
    let _ = writeln!(io::stderr().lock(), "{error}");
}

/// Whether somebody looks at a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// What there is to draw on. Where there is no terminal, lines are as long as they are, unless
/// `COLUMNS` says otherwise: whoever reads them shall not miss anything.
pub(crate) fn canvas() -> Canvas {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let asked = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let width = terminal
        .filter(|_| is_terminal())
        .or(asked)
        .filter(|width| *width > 0);
    Canvas {
        width,
        colour: is_terminal() && colours_are_welcome(),
    }
}

/// How many lines fit.
pub(crate) fn height() -> usize {
    terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0))
}

/// <https://no-color.org>: any value but an empty one says no.
fn colours_are_welcome() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
