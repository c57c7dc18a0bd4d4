//! `store:` to the engine it names.

use super::missing;
use super::process::lint_secret;
use crate::config::document::{GatewayFile, RedisStore};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::store::StoreSpec;
use crate::store::redis::RedisUrl;

/// What everything in a Redis is named by where nothing is said.
const PREFIX: &str = "protogate";

/// What is not said is embedded; what is wrong is reported, and embedded too.
pub fn compile(gateway: &GatewayFile, report: &mut Report) -> StoreSpec {
    let Some(store) = &gateway.store else { return StoreSpec::Embedded };
    match (&store.embedded, &store.redis) {
        (Some(_), None) => {}
        (None, Some(redis)) => return compile_redis(redis, report).unwrap_or(StoreSpec::Embedded),
        (Some(embedded), Some(redis)) => report.push(
            Diagnostic::new(Rule::BadValue, redis.span, "the store is `embedded` or `redis`, not both")
                .related(embedded.span, "the other one")
                .help("leave `embedded` out: it is what holds where nothing is said")
                .path("store"),
        ),
        // What could not be read was reported.
        (None, None) if report.speaks_of("store.embedded") || report.speaks_of("store.redis") => {}
        (None, None) => {
            let help = "write `store: { embedded: {} }`, or `store: { redis: { url: \"${var.redis_url}\" } }`";
            report.push(missing(store.span, "the store says neither `embedded` nor `redis`", help).path("store"));
        }
    }
    StoreSpec::Embedded
}

fn compile_redis(redis: &Spanned<RedisStore>, report: &mut Report) -> Option<StoreSpec> {
    let url = redis.url.as_ref()?;
    // What stands before the `@` is a password as often as not, also in what is no URL.
    if url.expose().contains('@') {
        lint_secret(url, "store.redis.url", report);
    }
    let prefix = redis.prefix.as_ref().map_or(PREFIX, |prefix| prefix.as_str()).to_owned();
    match RedisUrl::parse(url.expose()) {
        Ok(url) => Some(StoreSpec::Redis { url, prefix }),
        Err(why) => {
            let finding = Diagnostic::new(Rule::BadValue, url.span, "the store's URL is not one of a redis").label(why);
            let help = "write a URL such as `redis://127.0.0.1:6379` or `rediss://:${var.password}@cache.internal:6379/0`";
            report.push(finding.help(help).path("store.redis.url"));
            None
        }
    }
}
