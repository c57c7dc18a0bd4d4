//! The log, on standard error.
//!
//! Promises: an event is one line (`line`). The level can be changed while the process runs. Libraries are heard from `warn` on, however
//! talkative we are.

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self, JsonFields};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt as _, reload};

use super::line::OneLine;

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
        Format::Human => layer.event_format(OneLine { inner: format::format(), format }).boxed(),
        Format::Json => {
            let inner = format::format().json().flatten_event(true).with_current_span(false).with_span_list(false);
            layer.fmt_fields(JsonFields::new()).event_format(OneLine { inner, format }).boxed()
        }
    };
    (Registry::default().with(filter).with(layer), Log { filter: handle })
}

fn filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("protogate", level)
}

#[cfg(test)]
pub mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::line::is_harmless;
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

    #[test]
    fn no_line_is_longer_than_readers_take_and_none_shows_a_token() {
        for (format, long) in [Format::Human, Format::Json]
            .into_iter()
            .flat_map(|format| ["x", "\u{1b}", "\u{9b}\"\\", "\u{202e}\u{1f40e}"].map(|part| (format, part.repeat(100_000))))
        {
            let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
            let lines = lines(format, LevelFilter::INFO, || tracing::info!(token, text = long, shown = %long, harmless = 7, "{long}"));
            assert_eq!(lines.len(), 1);
            assert!(lines[0].len() <= 33 << 10 && lines[0].contains('…'), "{} bytes", lines[0].len());
            assert!(!lines[0].contains("c2lnbmF0dXJl"), "{}", lines[0]);
            if format == Format::Json {
                let object: Value = serde_json::from_str(&lines[0]).expect("each line is JSON");
                assert_eq!((&object["harmless"], &object["token"]), (&7.into(), &"eyJ***".into()));
            }
        }
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
