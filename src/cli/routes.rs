//! `protogate routes`: what is routed, and what holds for a route and why; by a running gateway, or by the files without one.

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminClient, Door, escaped};
use super::in_full::{aligned, cell, shown, told, told_in_full};
use super::{Exit, check, harmless, say};
use crate::table::compile::Context;
use crate::table::plan::Plan;

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
        let text = match self.number {
            Some(number) => shown(&place.route(number)?),
            None => table(&place.routes(&self.search.unwrap_or_default())?),
        };
        say(&harmless(&text));
        Ok(())
    }
}

// === impl Place ===

impl Place {
    fn of_files(door: &Door) -> Result<Place, Exit> {
        Ok(Place::Files(Box::new(check::plan(&door.inputs(Context::default()))?)))
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
                let found = plan.routes.iter().find(|route| route.number.0 == number);
                let route = found.ok_or_else(|| Exit::new(1, "error: there is no route of this number"))?;
                Ok(told_in_full(plan, route))
            }
            Place::Gateway(gateway) => {
                let answer = gateway.get(&format!("/api/v1/routes/{number}"))?;
                if answer["policy"].is_array() { Ok(answer) } else { Err(Exit::refused(&answer)) }
            }
        }
    }
}

fn table(routes: &[Value]) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned()).to_vec();
    let rows = routes.iter().map(|route| COLUMNS.map(|(_, key)| cell(&route[key])).to_vec());
    let count = format!("{} route{}\n", routes.len(), if routes.len() == 1 { "" } else { "s" });
    aligned(std::iter::once(heads).chain(rows).collect()) + &count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_says_that_it_is() {
        assert!(table(&[]).ends_with("0 routes\n"));
    }
}
