//! One route with all that holds for it: what it comes to, then every value with who says so and where.
//!
//! `explain` and `routes` show it, by the files or by a running gateway, and it looks the same.

use serde_json::{Value, json};

use crate::table::explain::Line;
use crate::table::meaning::Meaning;
use crate::table::plan::{Plan, RoutePlan};

/// What a route comes to: the words in front, and what is under them.
const WORDS: [(&str, &str); 8] = [
    ("takes", "takes"),
    ("answers with", "answers"),
    ("can be called by", "callers"),
    ("roles that suffice", "roles"),
    ("roles that do not", "other_roles"),
    ("limited by", "limits"),
    ("answered by", "backends"),
    ("repeated", "repeated"),
];

/// A route of the files in short, as the gateway would tell it.
pub fn told(plan: &Plan, route: &RoutePlan) -> Value {
    let path = route.method.path.as_str();
    json!({
        "number": route.number.0,
        "name": *route.name,
        "rpc": path.strip_prefix('/').unwrap_or(path),
        "kind": route.method.kind.name(),
        "request": route.method.input.name(),
        "response": route.method.output.name(),
        "access": route.access.name(),
        "permissions": route.permissions.iter().map(|(_, name)| &**name).collect::<Vec<_>>(),
        "limits": route.limits.iter().map(|used| &*plan.limits[used.limit].name).collect::<Vec<_>>(),
        "backends": route.backends.all().map(|backend| &*plan.backends[backend].name).collect::<Vec<_>>(),
    })
}

/// The same with all that holds for it.
pub fn told_in_full(plan: &Plan, route: &RoutePlan) -> Value {
    let mut told = told(plan, route);
    let policy = plan.explained.route(route.number.0).expect("every route of a plan is explained");
    told["meaning"] = json!(Meaning::of_plan(plan, route));
    told["policy"] = policy.iter().map(line).collect();
    told
}

/// As people read it.
pub fn shown(route: &Value) -> String {
    let head = format!("{} {}: {}\n", cell(&route["number"]), cell(&route["name"]), cell(&route["rpc"]));
    let width = WORDS.iter().map(|(word, _)| word.len()).max().unwrap_or_default() + 1;
    let mut words = String::new();
    for (word, key) in WORDS {
        let said = match &route["meaning"][key] {
            Value::String(said) => vec![said.clone()],
            Value::Array(items) if key.contains("roles") => vec![items.iter().map(cell).collect::<Vec<_>>().join(", ")],
            Value::Array(items) => items.iter().map(cell).collect(),
            _ => Vec::new(),
        };
        for (nth, said) in said.iter().filter(|said| !said.is_empty()).enumerate() {
            let word = if nth == 0 { format!("{word}:") } else { String::new() };
            words.push_str(&format!("  {word:width$}  {said}\n"));
        }
    }
    if !words.is_empty() {
        words.push('\n');
    }
    let lines = route["policy"].as_array().into_iter().flatten().map(|line| {
        let place = line["file"].as_str().map(|file| format!("{file}:{}", line["line"])).unwrap_or_default();
        vec![format!("  {}:", cell(&line["key"])), cell(&line["value"]), cell(&line["layer"]), place]
    });
    head + &words + &aligned(lines.collect())
}

/// A value in a table.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Rows of as many cells, each as wide as its column.
pub fn aligned(rows: Vec<Vec<String>>) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn line(line: &Line) -> Value {
    let (file, number) = line.place.clone().unzip();
    json!({ "key": line.key, "value": line.value, "layer": line.layer.name(), "file": file, "line": number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_shown_with_where_it_is_written() {
        let mut route = json!({
            "number": 9001, "name": "echo", "rpc": "a.B/C",
            "policy": [
                { "key": "timeout", "value": "3s", "layer": "route", "file": "routes.yaml", "line": 7 },
                { "key": "access", "value": "authenticated", "layer": "built-in" },
            ],
        });
        let values = "  timeout:  3s             route     routes.yaml:7\n  access:   authenticated  built-in\n";
        assert_eq!(shown(&route), format!("9001 echo: a.B/C\n{values}"), "a gateway of an older version says no more");
        route["meaning"] = json!({ "callers": "anybody", "roles": ["a", "b"], "other_roles": [], "limits": ["x", "y"] });
        let words = "  can be called by:    anybody\n  roles that suffice:  a, b\n  limited by:          x\n                       y\n\n";
        assert_eq!(shown(&route), format!("9001 echo: a.B/C\n{words}{values}"));
    }
}
