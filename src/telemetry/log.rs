//! The log, on standard error.
//!
//! Promises: an event is one line, whatever clients and backends have put into it: one JSON object, or one text without control
//! characters. The level can be changed while the process runs. Libraries are heard from `warn` on, however talkative we are.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt as _, reload};

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people at a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// The log of this process. Held by the composition root, which is the only one to change it.
#[derive(Clone)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
}

/// Formats like `inner`, and then makes sure that it is one line and nothing but text. What is escaped is escaped as JSON does it: in a
/// line of JSON such characters stand in strings only, so that the line remains JSON.
struct OneLine<F> {
    inner: F,
}

// === impl Log ===

impl Log {
    /// Makes this the log of the process; fails if it has one.
    pub fn install(format: Format, level: LevelFilter) -> Result<Log, String> {
        let (subscriber, log) = subscriber(format, level, std::io::stderr);
        subscriber.try_init().map_err(|error| error.to_string())?;
        Ok(log)
    }

    /// From now on less important lines than this are left out.
    pub fn set_level(&self, level: LevelFilter) {
        // It fails only when the subscriber is gone, and then nobody logs.
        let _ = self.filter.reload(filter(level));
    }
}

fn subscriber<W>(format: Format, level: LevelFilter, writer: W) -> (impl Subscriber + Send + Sync, Log)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let layer = match format {
        Format::Human => layer.event_format(OneLine { inner: format::format() }).boxed(),
        Format::Json => {
            let inner = format::format().json().flatten_event(true).with_current_span(false).with_span_list(false);
            layer.fmt_fields(JsonFields::new()).event_format(OneLine { inner }).boxed()
        }
    };
    (Registry::default().with(filter).with(layer), Log { filter: handle })
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("protogate", level)
}

// === impl OneLine ===

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        self.inner.format_event(context, Writer::new(&mut text), event)?;
        for character in text.trim_end_matches('\n').chars() {
            if is_harmless(character) {
                writer.write_char(character)?;
            } else {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
        }
        writer.write_char('\n')
    }
}

/// Whether a terminal shows this character and does nothing else: no controls, no line breaks of Unicode, nothing that changes the
/// direction of what follows. All that do have at most four hexadecimal digits.
fn is_harmless(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the tests of a log do not panic while they write").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a log of this kind holds after `speak`.
    pub fn lines(format: Format, level: LevelFilter, speak: impl FnOnce()) -> Vec<String> {
        lines_with(format, level, |_| speak())
    }

    fn lines_with(format: Format, level: LevelFilter, speak: impl FnOnce(&Log)) -> Vec<String> {
        let memory = Memory::default();
        let writer = memory.clone();
        let (subscriber, log) = subscriber(format, level, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || speak(&log));
        let bytes = std::mem::take(&mut *memory.0.lock().expect("nobody writes any more"));
        let text = String::from_utf8(bytes).expect("a log is text");
        assert!(text.is_empty() || text.ends_with('\n'));
        text.split_terminator('\n').map(str::to_owned).collect()
    }

    #[test]
    fn the_level_changes_while_it_runs_and_libraries_stay_quiet() {
        let lines = lines_with(Format::Human, LevelFilter::INFO, |log| {
            tracing::debug!("too quiet");
            log.set_level(LevelFilter::DEBUG);
            tracing::debug!("heard");
            tracing::debug!(target: "h2", "frames");
            tracing::warn!(target: "h2", "trouble");
            log.set_level(LevelFilter::ERROR);
            tracing::warn!("no more");
            tracing::warn!(target: "h2", "no more");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("heard") && lines[1].contains("trouble"));
    }

    #[test]
    fn nobody_writes_to_the_terminal_but_us() {
        let evil = "\u{1b}[2J\r\nERROR fake\u{7f}\u{9b}\u{202e}\u{2028}";
        let lines = lines(Format::Human, LevelFilter::INFO, || tracing::info!(text = evil, shown = %evil, "{evil}"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].chars().all(is_harmless), "{:?}", lines[0]);
        assert!(lines[0].contains(r"\r\nERROR fake"));
    }

    proptest! {
        #[test]
        fn an_event_is_one_line(text in prop_oneof![any::<String>(), "[\\x00-\\x1f\\x7f-\\u{9f}\\u{2028}\\u{202e}\\\\\"a]{0,20}"], number in any::<f64>()) {
            let speak = || tracing::info!(text, shown = %text, debug = ?text, number, "{text}");
            let json = lines(Format::Json, LevelFilter::INFO, speak);
            prop_assert_eq!(json.len(), 1);
            let object: Value = serde_json::from_str(&json[0]).expect("each line is JSON");
            prop_assert_eq!(&object["message"], &Value::from(text.as_str()));
            prop_assert_eq!(&object["text"], &Value::from(text.as_str()));

            let human = lines(Format::Human, LevelFilter::INFO, speak);
            prop_assert_eq!(human.len(), 1);
            prop_assert!([&json[0], &human[0]].iter().all(|line| line.chars().all(is_harmless)));
        }
    }
}
