//! `protogate routes`: what is routed, and what holds for a route and why; by a running gateway, or by the files without one.

use clap::Args;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, Door, escaped};
use super::{Exit, check, harmless};
use crate::diagnostic::render::{self, Color};
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;
use crate::table::explain::Line;
use crate::table::plan::{Plan, RoutePlan};

/// Show the routes, or all that holds for one of them and where that is written.
///
/// Example: protogate routes --search echo
#[derive(Args)]
pub struct Routes {
    /// The number of a route, to see all that holds for it.
    #[arg(value_name = "NUMBER", conflicts_with = "search")]
    number: Option<u32>,

    /// Only routes that have this text in their number, names, types, permissions, limits or backends.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Show what the files say, without a gateway.
    #[arg(long)]
    files: bool,

    #[command(flatten)]
    door: Door,
}

/// Where routes are looked up.
enum Place {
    Gateway(AdminClient),
    Files(Box<Plan>),
}

/// The heads of the table, and what is under them in a route as the gateway tells it.
const COLUMNS: [(&str, &str); 7] = [
    ("NUMBER", "number"),
    ("NAME", "name"),
    ("RPC", "rpc"),
    ("ACCESS", "access"),
    ("PERMISSIONS", "permissions"),
    ("LIMITS", "limits"),
    ("BACKENDS", "backends"),
];

// === impl Routes ===

impl Routes {
    pub fn run(self) -> Result<(), Exit> {
        let place = if self.files { Place::of_files(&self.door)? } else { Place::Gateway(AdminClient::of(self.door)?) };
        let shown = match self.number {
            Some(number) => in_full(&place.route(number)?),
            None => table(&place.routes(&self.search.unwrap_or_default())?),
        };
        print!("{}", harmless(&shown));
        Ok(())
    }
}

// === impl Place ===

impl Place {
    fn of_files(door: &Door) -> Result<Place, Exit> {
        let checked = reload::check(&door.inputs(Context::default()), None, &Pools::default());
        let report = &checked.report;
        match checked.plan {
            Some(plan) => Ok(Place::Files(Box::new(plan))),
            None => Err(Exit::new(check::error_code(report), render::human(report, &checked.sources, Color::Plain))),
        }
    }

    fn routes(&self, search: &str) -> Result<Vec<Value>, Exit> {
        match self {
            Place::Files(plan) => {
                let search = search.to_lowercase();
                let all = plan.routes.iter().map(|route| told(plan, route));
                let speaks = |route: &Value| {
                    route.as_object().is_some_and(|route| route.values().any(|said| cell(said).to_lowercase().contains(&search)))
                };
                Ok(all.filter(speaks).collect())
            }
            Place::Gateway(gateway) => {
                let mut found = Vec::new();
                let mut after = String::new();
                loop {
                    let mut answer = gateway.get(&format!("/api/v1/routes?limit=1000&search={}{after}", escaped(search)))?;
                    let Some(page) = answer["routes"].as_array_mut() else { return Err(Exit::refused(&answer)) };
                    found.append(page);
                    match answer["next"].as_str() {
                        Some(next) => after = format!("&after={}", escaped(next)),
                        None => return Ok(found),
                    }
                }
            }
        }
    }

    fn route(&self, number: u32) -> Result<Value, Exit> {
        match self {
            Place::Files(plan) => {
                let found = plan.routes.iter().find(|route| route.number.0 == number).zip(plan.explained.route(number));
                let (route, policy) = found.ok_or_else(|| Exit::new(1, "error: there is no route of this number"))?;
                let mut told = told(plan, route);
                told["policy"] = policy.iter().map(line).collect();
                Ok(told)
            }
            Place::Gateway(gateway) => {
                let answer = gateway.get(&format!("/api/v1/routes/{number}"))?;
                if answer["policy"].is_array() { Ok(answer) } else { Err(Exit::refused(&answer)) }
            }
        }
    }
}

/// A route of the files as the gateway would tell it.
fn told(plan: &Plan, route: &RoutePlan) -> Value {
    let path = route.method.path.as_str();
    json!({
        "number": route.number.0,
        "name": *route.name,
        "rpc": path.strip_prefix('/').unwrap_or(path),
        "request": route.method.input.name(),
        "response": route.method.output.name(),
        "access": route.access.name(),
        "permissions": route.permissions.iter().map(|(_, name)| &**name).collect::<Vec<_>>(),
        "limits": route.limits.iter().map(|used| &*plan.limits[used.limit].name).collect::<Vec<_>>(),
        "backends": route.backends.all().map(|backend| &*plan.backends[backend].name).collect::<Vec<_>>(),
    })
}

fn line(line: &Line) -> Value {
    let (file, number) = line.place.clone().unzip();
    json!({ "key": line.key, "value": line.value, "layer": line.layer.name(), "file": file, "line": number })
}

fn table(routes: &[Value]) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned()).to_vec();
    let rows = routes.iter().map(|route| COLUMNS.map(|(_, key)| cell(&route[key])).to_vec());
    let count = format!("{} route{}\n", routes.len(), if routes.len() == 1 { "" } else { "s" });
    aligned(std::iter::once(heads).chain(rows).collect()) + &count
}

fn in_full(route: &Value) -> String {
    let head = format!("{} {}: {}\n", cell(&route["number"]), cell(&route["name"]), cell(&route["rpc"]));
    let lines = route["policy"].as_array().into_iter().flatten().map(|line| {
        let written = match line["file"].as_str() {
            Some(file) => format!("{}  {file}:{}", cell(&line["layer"]), line["line"]),
            None => cell(&line["layer"]),
        };
        vec![format!("  {}:", cell(&line["key"])), cell(&line["value"]), written]
    });
    head + &aligned(lines.collect())
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Rows of as many cells, each as wide as its column.
fn aligned(rows: Vec<Vec<String>>) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_shown_with_where_it_is_written() {
        let route = json!({
            "number": 9001, "name": "echo", "rpc": "a.B/C",
            "policy": [
                { "key": "timeout", "value": "3s", "layer": "route", "file": "routes.yaml", "line": 7 },
                { "key": "access", "value": "authenticated", "layer": "built-in" },
            ],
        });
        let expected = "9001 echo: a.B/C\n  timeout:  3s             route  routes.yaml:7\n  access:   authenticated  built-in\n";
        assert_eq!(in_full(&route), expected);
        assert!(table(&[]).ends_with("0 routes\n"));
    }
}
