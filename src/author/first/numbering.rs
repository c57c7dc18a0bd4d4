//! Which number and which name every method has, and which backend answers it.
//!
//! Promise: the same descriptors are numbered the same; a method that is added behind the others of its service, or a service behind all
//! others, changes no number.

use std::collections::{BTreeMap, HashSet};

use super::{Refused, Wish, naming};
use crate::proto::{Method, Service};

/// Numbers are dealt to services by so many; one with more methods has several shares.
pub const SHARE: u32 = 1000;

/// Beyond so many services each would be a set of connections of its own for nothing: they have one backend together.
const BACKENDS_MAX: usize = 100;

/// A service with its numbers and names.
pub struct Numbered {
    pub service: Service,
    /// The range that is its own.
    pub first: u32,
    pub last: u32,
    /// What its routes begin with, such as `greeter`.
    pub name: String,
    pub backend: String,
    pub permission: String,
    pub routes: Vec<Route>,
}

/// A method with its number and name.
pub struct Route {
    pub number: u32,
    pub name: String,
    pub method: Method,
}

/// Numbers all services, in the order of their names.
pub fn number(services: &[Service], wish: &Wish) -> Result<Vec<Numbered>, Refused> {
    let names = names(services);
    let backends = backends(services, &names, wish);
    let mut next = wish.first;
    let (mut taken, mut subjects) = (naming::Taken::new(), naming::Taken::new());
    let mut numbered = Vec::with_capacity(services.len());
    for ((service, name), backend) in services.iter().zip(names).zip(backends) {
        let methods = service.methods();
        let (first, last) = share(next, methods.len())
            .ok_or_else(|| Refused::Because("there are fewer numbers than methods; begin with a smaller one, by `--start`".to_owned()))?;
        let numbers = if first.is_multiple_of(SHARE) { first + 1.. } else { first.. };
        let routes = methods.into_iter().zip(numbers).map(|(method, number)| {
            let own = method.name().rsplit('/').next().unwrap_or_default();
            Route { number, name: naming::unique(&format!("{name}.{}", naming::snake(own, "method")), &mut taken), method }
        });
        let routes = routes.collect();
        numbered.push(Numbered {
            service: service.clone(),
            first,
            last,
            permission: permission(service, &mut subjects),
            name,
            backend,
            routes,
        });
        next = last.saturating_add(1);
    }
    Ok(numbered)
}

/// Whole shares with room for so many methods, the first number of a share left free where it is round.
fn share(first: u32, methods: usize) -> Option<(u32, u32)> {
    let needed = u32::try_from(methods).ok()?.checked_add(1)?;
    let last = first.checked_add(needed.div_ceil(SHARE).checked_mul(SHARE)?)?;
    Some((first, last - 1))
}

/// A short name for each; one with its package where several would have the same.
fn names(services: &[Service]) -> Vec<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    services.iter().for_each(|service| *count.entry(naming::service(service.name())).or_default() += 1);
    let mut taken = naming::Taken::new();
    let name = |service: &Service| {
        let short = naming::service(service.name());
        let name = match count[&short] {
            1 => short,
            _ => naming::dotted(service.package()).into_iter().chain([short]).collect::<Vec<_>>().join("."),
        };
        naming::unique(&name, &mut taken)
    };
    services.iter().map(name).collect()
}

/// Who answers each: all listen at one place, or each at one of its own that somebody has still to say.
fn backends(services: &[Service], names: &[String], wish: &Wish) -> Vec<String> {
    if wish.endpoint().is_none() && services.len() <= BACKENDS_MAX {
        let mut taken = naming::Taken::new();
        return names.iter().map(|name| naming::unique(&name.replace('.', "_"), &mut taken)).collect();
    }
    let packages: HashSet<&str> = services.iter().map(Service::package).collect();
    let shared = match (services, packages.iter().next()) {
        ([only], _) => naming::service(only.name()),
        (_, Some(package)) if packages.len() == 1 => {
            let parts = naming::dotted(package);
            parts.into_iter().rfind(|part| !is_version(part)).unwrap_or_else(|| "services".to_owned())
        }
        _ => "services".to_owned(),
    };
    vec![shared; services.len()]
}

/// Such as `v1` or `v1beta1`.
fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// What a caller must be permitted to do to call a service: `helloworld.v1.greeter.call`. No two services share one.
fn permission(service: &Service, taken: &mut naming::Taken) -> String {
    let parts = naming::dotted(service.package()).into_iter().chain([naming::service(service.name())]);
    format!("{}.call", naming::unique(&parts.collect::<Vec<_>>().join("."), taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_and_have_room() {
        assert_eq!(share(1000, 1), Some((1000, 1999)));
        assert_eq!(share(1000, 999), Some((1000, 1999)));
        assert_eq!(share(1000, 1000), Some((1000, 2999)));
        assert_eq!(share(u32::MAX - 10, 1), None);
    }

    #[test]
    fn versions_are_no_names() {
        assert_eq!(["v1", "v2beta1", "values", "v"].map(is_version), [true, true, false, false]);
    }
}
