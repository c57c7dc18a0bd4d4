//! The text of every file of a first configuration.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::found::{Found, LOCK, Place};
use super::naming::written;
use super::numbering::Numbered;
use super::{Opening, ROLE, Wish, routes};
use crate::author::{WRITTEN, saying};
use crate::proto::Kind;

/// Without it there is no configuration.
pub const MAIN: &str = "routes.yaml";

/// What is open in development; taking it away closes that too.
const DEVELOPMENT: &str = "routes.development.yaml";

/// Where services listen until somebody says where.
const NOWHERE: &str = "http://127.0.0.1:50051";

const GATEWAY: &str = "\
# The process: addresses, bounds, identity. Every key is optional, and what is commented out is its default.
version: 1

# listen: { address: 127.0.0.1:7080, path: /ws }
# admin: { address: 127.0.0.1:7081 }

# Whose tokens are believed outside of development, where the gateway signs some by itself:
# auth:
#   issuers:
#     - { issuer: https://id.example.com, audience: [game], algorithm: EdDSA, public_key: id.pem, roles: claims.roles }
";

const OPEN: &str = "\
# In development alone: everybody who connects may call, so that a first `protogate call` needs no token. Everywhere else, what
# routes.yaml says holds. Remove this file to have it hold here as well, and call with `--as alice --roles user`.
defaults: { access: anonymous }
permissions: { roles: { anonymous: { grant: [\"**\"] } } }

# All clients on one machine have one address, and are one caller.
rate_limits: { per_caller: { rate: 1000/s, burst: 1000 } }
";

/// Name and content of all of them, `routes.yaml` last.
pub fn write(services: &[Numbered], found: &Found, wish: &Wish) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("gateway.yaml".to_owned(), GATEWAY.as_bytes().to_vec())];
    if let Place::Lock(told) = &found.place {
        files.push((LOCK.to_owned(), told.clone()));
    }
    if wish.access == Opening::Development {
        files.push((DEVELOPMENT.to_owned(), OPEN.as_bytes().to_vec()));
    }
    let shared = shared_backend(services);
    let main = match services {
        [only] => {
            let mut text = head(only, found, &[]);
            text.push_str(&backend(only, wish));
            common(services, wish, &mut text);
            defaults(&policy(only, wish), &mut text);
            section_of_routes(only, wish, &mut text);
            text
        }
        several => {
            let names: Vec<String> = several.iter().map(file_name).collect();
            for (service, name) in several.iter().zip(&names) {
                files.push((name.clone(), group(service, shared, wish).into_bytes()));
            }
            let mut text = head(&several[0], found, &names);
            if shared {
                text.push_str(&backend(&several[0], wish));
            }
            common(services, wish, &mut text);
            let access = (wish.access == Opening::Anonymous).then(|| "access: anonymous".to_owned());
            defaults(&access.into_iter().collect::<Vec<_>>(), &mut text);
            text
        }
    };
    files.push((MAIN.to_owned(), main.into_bytes()));
    files
}

/// A shipped file where `init` puts it: everything below one folder, and no schema where none is.
pub fn moved(name: &str, text: &str) -> (String, Vec<u8>) {
    let text: String = text.lines().filter(|line| !line.starts_with("# yaml-language-server:")).map(|line| format!("{line}\n")).collect();
    let text = text.replace("- proto: ../proto\n", "- proto: proto\n");
    (name.strip_prefix("routes/").unwrap_or(name).to_owned(), text.trim_start_matches("#\n").into())
}

/// Whether one place answers all.
fn shared_backend(services: &[Numbered]) -> bool {
    services.iter().all(|service| service.backend == services[0].backend)
}

/// The file of a service among several. Its first number tells it from every other file, whatever services are called.
fn file_name(service: &Numbered) -> String {
    format!("{}_{}.yaml", service.first, saying::shortened(&service.name.replace('.', "_"), 60).trim_end_matches('…'))
}

/// The beginning of `routes.yaml`, until who answers.
fn head(first: &Numbered, found: &Found, include: &[String]) -> String {
    let mut text = String::from(
        "# What the gateway routes: a first version, for you to change. `protogate check` names every mistake, and a running gateway reads it again.\n\
         version: 1\n",
    );
    if !include.is_empty() {
        text.push_str("\n# A file for each service, with its range of numbers.\ninclude:\n");
        include.iter().for_each(|name| text.push_str(&format!("  - {name}\n")));
    }
    let place = match &found.place {
        Place::Folder(path) => format!("  - proto: {}\n", quoted(path)),
        Place::Set(path) => format!("  - set: {}\n", quoted(path)),
        Place::Lock(_) => format!(
            "  # What the server told. `protogate lock` asks it again, and says what has changed.\n  - {{ reflection: {}, lock: {LOCK} }}\n",
            written(&first.backend)
        ),
    };
    write!(text, "\n# Where message types and methods come from.\ndescriptors:\n{place}").expect(WRITTEN);
    text
}

/// The section `backends:` with one.
fn backend(service: &Numbered, wish: &Wish) -> String {
    let (note, url) = match wish.endpoint() {
        Some(url) => ("# Who answers.", url.to_string()),
        None => ("# Who answers. Nobody has said where it listens: CHANGE THIS.", NOWHERE.to_owned()),
    };
    format!("\n{note}\nbackends:\n  {}: {{ grpc: {{ endpoints: [\"{url}\"] }} }}\n", written(&service.backend))
}

/// Limits and roles.
fn common(services: &[Numbered], wish: &Wish, text: &mut String) {
    text.push_str("\n# How fast one caller may call: the user, else the address.\nrate_limits:\n");
    text.push_str("  per_caller: { key: [caller], rate: 20/s, burst: 40 }\n");
    if wish.access != Opening::Anonymous {
        let grants: BTreeSet<&str> = services.iter().filter_map(|service| service.permission.split('.').next()).collect();
        let grants: Vec<String> = grants.into_iter().map(|first| format!("\"{first}.**\"")).collect();
        text.push_str(
            "\n# Who may call: a route asks for a permission, a role grants it, and a token names roles.\npermissions:\n  roles:\n",
        );
        writeln!(text, "    {ROLE}: {{ grant: [{}] }}", grants.join(", ")).expect(WRITTEN);
    }
}

/// The section `defaults:` of `routes.yaml`.
fn defaults(more: &[String], text: &mut String) {
    text.push_str("\n# What a route does where it says nothing itself.\ndefaults:\n  timeout: 5s\n  rate_limits: [per_caller]\n");
    more.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
}

/// What all routes of a service have in common.
fn policy(service: &Numbered, wish: &Wish) -> Vec<String> {
    let backend = format!("backend: {}", written(&service.backend));
    let access = match wish.access {
        Opening::Anonymous => "access: anonymous".to_owned(),
        Opening::Development | Opening::Authenticated => format!("permissions: [{}]", service.permission),
    };
    vec![backend, access]
}

/// The file of one service among several.
fn group(service: &Numbered, shared: bool, wish: &Wish) -> String {
    let mut text = routes::comment(&format!("{}.", service.service.full_name()), "");
    text.push_str(&routes::comment(service.service.comment().unwrap_or_default(), ""));
    writeln!(text, "numbers: {}..{}", service.first, service.last).expect(WRITTEN);
    if !shared {
        text.push_str(&backend(service, wish));
    }
    text.push_str("\ndefaults:\n");
    // That everybody may call is said once, for all.
    let own = policy(service, wish).into_iter().filter(|line| !line.starts_with("access:"));
    own.for_each(|line| text.push_str(&format!("  {line}\n")));
    section_of_routes(service, wish, &mut text);
    text
}

fn section_of_routes(service: &Numbered, wish: &Wish, text: &mut String) {
    let streams = service.routes.iter().any(|route| route.method.kind != Kind::Unary);
    let hint = if streams { " `timeout` is for calls; streams have `stream: { idle: 5m, max_age: 1h }`." } else { "" };
    write!(text, "\n# One entry a protocol number.{hint}\nroutes:\n").expect(WRITTEN);
    service.routes.iter().for_each(|route| routes::write(route, wish.takes(&route.method), text));
}

/// A path as YAML reads it whatever it has in it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let is_plain = path.chars().all(plain) && path.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.') && path.contains(['/', '.']);
    if is_plain { path.to_owned() } else { serde_json::Value::from(path).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_text_whatever_it_has_in_it() {
        assert_eq!(["../proto", "on", "a b/c", "x: y", "\"\n"].map(quoted), ["../proto", "\"on\"", "\"a b/c\"", "\"x: y\"", "\"\\\"\\n\""]);
    }
}
