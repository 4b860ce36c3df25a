//! Where log lines go, and what they look like.

use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Logs to standard error, which is the journal under systemd; with time stamps elsewhere, and with
/// colours on a terminal.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours_are_welcome())
        .with_writer(std::io::stderr);
    if is_the_journal() {
        builder.event_format(for_the_journal()).init()
    } else {
        builder.init()
    }
}

/// Whether standard error is the journal's, and not only that of a service which started our shell
/// (systemd.exec(5)).
fn is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let ours = std::fs::metadata("/proc/self/fd/2");
    ours.is_ok_and(|it| stream == format!("{}:{}", it.dev(), it.ino()))
}

/// On a terminal, unless somebody says no (<https://no-color.org>).
fn colours_are_welcome() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !refused
}

fn for_the_journal() -> Prioritised<Format<Full, ()>> {
    Prioritised(Format::default().without_time())
}

/// Begins every line with its priority, as sd-daemon(3) has it, so that `journalctl -p warning` finds
/// what needs attention.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut text = String::new();
        self.0
            .format_event(context, Writer::new(&mut text), event)?;
        // A line without a priority of its own would be of any importance.
        text.lines()
            .try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What is written to a log.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written to the journal while something is done. One at a time: all threads share
    /// what tracing remembers of who wants to read which statement, and a subscriber that comes or
    /// goes at the wrong moment makes it forget the others.
    pub(crate) fn written(what: impl FnOnce()) -> String {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .event_format(for_the_journal())
            .finish();
        tracing::subscriber::with_default(subscriber, what);
        let text = paper.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn the_journal_is_told_how_important_a_line_is() {
        let text = written(|| {
            tracing::warn!(kind = "path", "down");
            tracing::info!("up, and\n<0>more");
        });
        let expected = "<4> WARN patronus_daemon::log::tests: down kind=\"path\"\n\
                        <6> INFO patronus_daemon::log::tests: up, and\n\
                        <6><0>more\n";
        assert_eq!(text, expected);
    }
}
