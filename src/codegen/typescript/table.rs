//! The table in TypeScript: a constant for each route and each push, and the client with a method for each route.
//!
//! Promises: no two have one name, and none has the name of something that every client has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::doc::doc;
use super::names::{camel, identifier, key, quoted, unused};
use super::places::{Place, Places};
use crate::codegen::typescript::MARK;
use crate::proto::{Kind, Reached};
use crate::table::plan::{EffectKind, Plan, PushPlan, RoutePlan};

/// What every client has by itself, and what every object has. A test compares the first with the runtime.
const TAKEN: &[&str] = &[
    "call",
    "catalogue",
    "close",
    "connect",
    "hello",
    "on",
    "open",
    "position",
    "refresh",
    "session",
    "state",
    "subscribe",
    "tell",
    "unsubscribe",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "prototype",
    "then",
    "toJSON",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// One module as it grows.
struct Module<'a> {
    place: &'a Place,
    places: &'a Places,
    reached: &'a Reached,
    imports: BTreeMap<String, String>,
    out: String,
}

/// A route as the client knows it.
struct Method<'a> {
    route: &'a RoutePlan,
    /// The constant in `routes.ts`.
    constant: String,
}

/// All modules that follow from the table.
pub fn write(plan: &Plan, reached: &Reached, places: &Places, files: &mut BTreeMap<String, String>) {
    let mut taken = BTreeSet::new();
    let methods: Vec<Method<'_>> = plan
        .routes
        .iter()
        .map(|route| Method { route, constant: unused(identifier(&camel(&route.name.replace('.', "_"))), &mut taken) })
        .collect();
    files.insert("src/routes.ts".to_owned(), routes(&methods, reached, places));
    files.insert("src/pushes.ts".to_owned(), pushes(&plan.pushes, reached, places));
    files.insert("src/client.ts".to_owned(), client(&methods, &plan.catalogue_hash));
    files.insert("src/index.ts".to_owned(), index());
}

fn routes(methods: &[Method<'_>], reached: &Reached, places: &Places) -> String {
    let place = Place::at("routes");
    let mut module = Module { place: &place, places, reached, imports: BTreeMap::new(), out: String::new() };
    for Method { route, constant } in methods {
        let (input, output) = (module.schema(route.method.input.name()), module.schema(route.method.output.name()));
        let kind = route.method.kind.name();
        let typed = if route.answers_success || route.method.kind != Kind::Unary { kind } else { "silent" };
        let mut facts = String::new();
        if route.method.idempotent {
            facts += ", idempotent: true";
        }
        if leaves(route) {
            facts += ", leaves: true";
        }
        module.out += "\n";
        module.out += &doc("", route.method.comment(), &format!("Route {}, `{}`.", route.number.0, route.name), route.method.deprecated);
        module.out += &format!(
            "export const {constant}: $.Route<typeof {input}, typeof {output}, {kind}> = {{ number: {}, name: {}, kind: {kind}, input: {input}, output: {output}{facts} }};\n",
            route.number.0,
            quoted(&route.name),
            kind = quoted(typed),
        );
    }
    module.finish("route.js", methods.is_empty())
}

/// Whether a success of the route always ends the session.
fn leaves(route: &RoutePlan) -> bool {
    route.effect.as_ref().is_some_and(|effect| matches!(effect.session, Some(EffectKind::Unbind)) && effect.when.is_empty())
}

fn pushes(pushes: &[PushPlan], reached: &Reached, places: &Places) -> String {
    let place = Place::at("pushes");
    let mut module = Module { place: &place, places, reached, imports: BTreeMap::new(), out: String::new() };
    let mut taken = BTreeSet::new();
    for push in pushes {
        let constant = unused(identifier(&camel(&push.name.replace('.', "_"))), &mut taken);
        let schema = module.schema(push.message.name());
        let ours = format!("Push {}, `{}`; delivery `{}`.", push.number.0, push.name, push.delivery.name());
        module.out += "\n";
        module.out += &doc("", push.message.comment(), &ours, false);
        module.out += &format!(
            "export const {constant}: $.Push<typeof {schema}> = {{ number: {}, name: {}, message: {schema} }};\n",
            push.number.0,
            quoted(&push.name)
        );
    }
    module.finish("route.js", pushes.is_empty())
}

fn client(methods: &[Method<'_>], catalogue: &str) -> String {
    let mut groups: BTreeMap<&str, Vec<(&str, &Method<'_>)>> = BTreeMap::new();
    let mut alone = Vec::new();
    for method in methods {
        match method.route.name.split_once('.') {
            Some((group, name)) => groups.entry(group).or_default().push((name, method)),
            None => alone.push((&*method.route.name, method)),
        }
    }
    let mut text = format!("// {MARK}\n/* eslint-disable */\n\n");
    text += "import { Gateway, method, type Options } from \"./runtime/index.js\";\nimport * as routes from \"./routes.js\";\n\n";
    text += "/** Of numbers, names and message types: what this package was generated from. */\n";
    writeln!(text, "export const catalogue = {};\n", quoted(catalogue)).expect("a text takes what is written to it");
    text += "/** A gateway with a method for every route. */\nexport class Client extends Gateway {\n";
    text += "  constructor(options: Options) {\n    super({ catalogue, ...options });\n  }\n";
    let mut taken: BTreeSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
    for (group, members) in groups {
        let mut inner: BTreeSet<String> = ["constructor", "then", "toString", "toJSON", "valueOf"].map(str::to_owned).into();
        writeln!(text, "\n  /** Routes `{group}.…`. */\n  readonly {} = {{", key(&unused(camel(group), &mut taken))).expect("as above");
        for (name, method) in members {
            let name = unused(camel(&name.replace('.', "_")), &mut inner);
            text += &said("    ", method);
            writeln!(text, "    {}: method(this, routes.{}),", key(&name), method.constant).expect("as above");
        }
        text += "  };\n";
    }
    for (name, method) in alone {
        text += "\n";
        text += &said("  ", method);
        writeln!(text, "  readonly {} = method(this, routes.{});", key(&unused(camel(name), &mut taken)), method.constant)
            .expect("as above");
    }
    text + "}\n"
}

fn said(indent: &str, method: &Method<'_>) -> String {
    let route = method.route;
    doc(indent, route.method.comment(), &format!("Route {}, `{}`.", route.number.0, route.name), route.method.deprecated)
}

fn index() -> String {
    format!(
        "// {MARK}\n\nexport * from \"./runtime/index.js\";\nexport * as routes from \"./routes.js\";\nexport * as pushes from \"./pushes.js\";\nexport {{ Client, catalogue }} from \"./client.js\";\n"
    )
}

// === impl Module ===

impl Module<'_> {
    /// What the schema of a message is called here.
    fn schema(&mut self, full: &str) -> String {
        let (module, schema) = self.places.schema(self.reached, full);
        let next = format!("${}", self.imports.len() + 1);
        let name = self.imports.entry(self.place.to(module)).or_insert(next);
        format!("{name}.{schema}")
    }

    fn finish(self, runtime: &str, is_empty: bool) -> String {
        let mut text = format!("// {MARK}\n/* eslint-disable */\n\n");
        if is_empty {
            return text + "export {};\n";
        }
        writeln!(text, "import type * as $ from \"./runtime/{runtime}\";").expect("a text takes what is written to it");
        for (from, name) in &self.imports {
            writeln!(text, "import * as {name} from {};", quoted(from)).expect("a text takes what is written to it");
        }
        text + &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_takes_the_name_of_what_every_client_has() {
        let gateway = include_str!("runtime/gateway.ts");
        let body = gateway.split_once("export class Gateway {").expect("the class is there").1;
        let mut members = BTreeSet::new();
        for line in body.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with([' ', '#', '/', '*', '}', '@']))
        {
            let line = line.trim_start_matches("readonly ").trim_start_matches("async ").trim_start_matches("get ");
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            // A line that ends a list of parameters names nothing.
            if !name.is_empty() {
                members.insert(name);
            }
        }
        assert!(members.len() > 8, "{members:?}");
        for member in members {
            assert!(TAKEN.contains(&&*member), "`{member}` of the runtime is not in the list");
        }
    }
}
