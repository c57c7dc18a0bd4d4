//! One event, one line: whatever clients and backends have put into it.
//!
//! Promises: a line is one JSON object or one text, without control characters; nothing in it looks like a token; it has at most
//! [`LINE_BYTES_MAX`] bytes.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::log::Format;
use super::mask::{cut, masked};

/// What any reader of logs takes. Those who log bound what is long by itself; this is for whatever they forgot.
const LINE_BYTES_MAX: usize = 32 << 10;

/// The most that a character becomes when it is escaped: `\u001b` for one byte.
const ESCAPED_BYTES: usize = 6;

/// Formats like `inner`, and then makes sure that it is one line and nothing but text. What is escaped is escaped as JSON does it: in a
/// line of JSON such characters stand in strings only, so that the line remains JSON.
pub struct OneLine<F> {
    pub inner: F,
    pub format: Format,
}

/// The line with less in it.
fn shortened(line: &str, format: Format) -> Cow<'_, str> {
    let bytes_max = LINE_BYTES_MAX / ESCAPED_BYTES;
    match format {
        Format::Human => cut(line, bytes_max),
        Format::Json => {
            let mut object: Map<String, Value> = serde_json::from_str(line).expect("the formatter writes a JSON object");
            // All have the same room; names are ours, and short.
            let each = bytes_max / object.len().max(1);
            for value in object.values_mut() {
                if let Value::String(text) = value {
                    *text = cut(text, each).into_owned();
                }
            }
            Cow::Owned(Value::Object(object).to_string())
        }
    }
}

/// Whether a terminal shows this character and does nothing else: no controls, no line breaks of Unicode, nothing that is not seen or
/// changes the direction of what follows. All that do have at most four hexadecimal digits.
pub fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
        let text = text.trim_end_matches('\n');
        let text = if text.len() > LINE_BYTES_MAX { shortened(text, self.format) } else { Cow::Borrowed(text) };
        for character in masked(&text).chars() {
            if is_harmless(character) {
                writer.write_char(character)?;
            } else {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
        }
        writer.write_char('\n')
    }
}
