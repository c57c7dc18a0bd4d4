//! A comparison for people: at a terminal, in a workflow run, under a pull request. Most dangerous first, and a last line always.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cli::harmless;
use crate::compare::{Effect, Told, ToldChange, ToldRoute};
use crate::diagnostic::render::Color;

/// Routes that a line names.
const NAMED_MAX: usize = 20;

/// What stands over the changes of an effect, and how it looks at a terminal.
fn head(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::Breaks => ("breaks clients", "1;31"),
        Effect::Opens => ("opens", "1;35"),
        Effect::Loosens => ("loosens", "33"),
        Effect::Closes => ("closes", "36"),
        Effect::Tightens => ("tightens", "36"),
        Effect::Changes => ("changes otherwise", "1"),
    }
}

/// A group for each effect, a line for each change.
pub fn human(told: &Told, color: Color) -> String {
    let paint = |text: &str, style: &str| match color {
        Color::Plain => text.to_owned(),
        Color::Styled => format!("\x1b[{style}m{text}\x1b[0m"),
    };
    let mut out = String::new();
    for (effect, count) in told.effects.each().into_iter().filter(|(_, count)| *count > 0) {
        let (head, style) = head(effect);
        writeln!(out, "{}", paint(&format!("{head} ({count})"), style)).expect("a text takes what is written to it");
        let of = || told.changes.iter().filter(|change| change.effect == effect);
        for change in of() {
            let place = change.place.as_ref().map(|place| format!("  {}:{}", place.file, place.line)).unwrap_or_default();
            let line = format!("  {}{}", one_line(&change.what), one_line(&tail(change)));
            writeln!(out, "{line}{}", paint(&one_line(&place), "2")).expect("a text takes what is written to it");
        }
        if let Some(more) = count.checked_sub(of().count()).filter(|more| *more > 0) {
            writeln!(out, "  and {more} more").expect("a text takes what is written to it");
        }
        out.push('\n');
    }
    out + &summary(told) + "\n"
}

/// `diff: 1 breaks, 2 opens, …`, or that there is nothing to say.
fn summary(told: &Told) -> String {
    let counts = told.effects.each().into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(effect, count)| format!("{count} {}", effect.name())).collect();
    match (told.breaking, counts.is_empty()) {
        (true, _) => format!("diff: clients break ({})", counts.join(", ")),
        (false, false) => format!("diff: no client breaks ({})", counts.join(", ")),
        (false, true) => "diff: nothing means anything else".to_owned(),
    }
}

/// Whom a change concerns, where it does not say so itself.
fn tail(change: &ToldChange) -> String {
    let mut parts = Vec::new();
    if let Some(codec) = &change.codec {
        parts.push(format!("only for clients that speak {}", if codec == "json" { "JSON" } else { "protobuf" }));
    }
    let calls = |route: &ToldRoute| route.calls_last_hour.map(|calls| format!("called {} in the last hour", times(calls)));
    match &*change.routes {
        [] => {}
        [route] if change.what.contains(&format!("{} `{}`", route.number, route.name)) => {
            parts.extend(calls(route).filter(|_| change.effect == Effect::Breaks));
        }
        routes => {
            let named = routes.iter().take(NAMED_MAX).map(|route| match calls(route).filter(|_| change.effect == Effect::Breaks) {
                Some(calls) => format!("{} `{}` ({calls})", route.number, route.name),
                None => format!("{} `{}`", route.number, route.name),
            });
            let mut named = named.collect::<Vec<_>>().join(", ");
            if let Some(more) = change.routes_in_all.checked_sub(routes.len().min(NAMED_MAX)).filter(|more| *more > 0) {
                named += &format!(" and {more} more");
            }
            parts.push(named);
        }
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// What files and gateways say, for a terminal, in one line.
fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// Annotations of a workflow run: errors for what breaks, warnings for what opens and loosens, notices for the rest.
pub fn github(told: &Told) -> String {
    let data = |text: &str| one_line(text).replace('%', "%25").replace('\r', "%0D");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let line = |change: &ToldChange| {
        let command = match change.effect {
            Effect::Breaks => "error",
            Effect::Opens | Effect::Loosens => "warning",
            Effect::Closes | Effect::Tightens | Effect::Changes => "notice",
        };
        let place = change.place.as_ref().map(|place| format!("file={},line={},", property(&place.file), place.line)).unwrap_or_default();
        let title = change.code.as_deref().unwrap_or(change.effect.name());
        format!("::{command} {place}title={}::{}{}\n", property(title), data(&change.what), data(&tail(change)))
    };
    told.changes.iter().map(line).collect::<String>() + &summary(told) + "\n"
}

/// Tables for a comment under a pull request.
pub fn markdown(told: &Told) -> String {
    // What stands in a cell neither ends it nor is markup; names in backquotes stay so.
    let cell = |text: &str| one_line(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
    let mut out = format!("### {}\n", cell(&summary(told)));
    let effects: BTreeSet<Effect> = told.changes.iter().map(|change| change.effect).collect();
    for effect in effects {
        write!(out, "\n| {} | where |\n|---|---|\n", head(effect).0).expect("a text takes what is written to it");
        for change in told.changes.iter().filter(|change| change.effect == effect) {
            let place = change.place.as_ref().map(|place| format!("`{}:{}`", place.file, place.line)).unwrap_or_default();
            let code = change.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
            writeln!(out, "| {}{}{} | {} |", cell(&change.what), cell(&tail(change)), cell(&code), cell(&place))
                .expect("a text takes what is written to it");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told() -> Told {
        let route = json!({ "number": 1, "name": "a", "calls_last_hour": 3 });
        serde_json::from_value(json!({
            "version": 1, "same": false, "breaking": true,
            "changes": [
                { "effect": "breaks", "code": "PG120", "what": "route 1 `a` is gone", "routes": [route], "routes_in_all": 1, "place": { "file": "r,o.yaml", "line": 7 } },
                { "effect": "breaks", "code": "PG122", "codec": "json", "what": "field 1 `x` | <b>\u{1b}[31m is gone", "routes": [route, { "number": 2, "name": "b" }], "routes_in_all": 30 },
                { "effect": "changes", "what": "the backend `b` is new", "routes": [], "routes_in_all": 0 },
            ],
            "effects": { "breaks": 2, "opens": 0, "loosens": 0, "closes": 0, "tightens": 0, "changes": 1 },
        }))
        .expect("it is what a gateway tells")
    }

    #[test]
    fn the_most_dangerous_comes_first_and_a_summary_last() {
        let expected = "breaks clients (2)\n  \
             route 1 `a` is gone: called 3 times in the last hour  r,o.yaml:7\n  \
             field 1 `x` | <b>\\u001b[31m is gone: only for clients that speak JSON; 1 `a` (called 3 times in the last hour), 2 `b` and 28 more\n\n\
             changes otherwise (1)\n  the backend `b` is new\n\n\
             diff: clients break (2 breaks, 1 changes)\n";
        assert_eq!(human(&told(), Color::Plain), expected);
        assert!(human(&told(), Color::Styled).starts_with("\x1b[1;31mbreaks clients (2)\x1b[0m\n"));
    }

    #[test]
    fn an_annotation_is_a_line_and_a_cell_a_cell() {
        let github = github(&told());
        assert!(github.starts_with("::error file=r%2Co.yaml,line=7,title=PG120::route 1 `a` is gone"), "{github}");
        assert_eq!(github.lines().count(), 4, "{github}");
        let markdown = markdown(&told());
        assert!(markdown.contains("| field 1 `x` \\| &lt;b>"), "{markdown}");
    }
}
