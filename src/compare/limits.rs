//! Rate limits and bounds: which are wider, narrower, new or gone.

use std::time::Duration;

use super::view::RouteView;
use super::{Change, Comparing, Effect};
use crate::pipeline::rate_limit::{KeyPart, LimitSpec, Mode};

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn limits(&mut self) {
        let (before, after) = (self.before, self.after);
        for (name, limit) in &after.limits {
            let Some(was) = before.limits.get(name) else { continue };
            for (effect, what) in spec(was, limit) {
                let used = after.routes.values().filter(|route| route.limits.contains(name));
                let used: Vec<_> = used.map(RouteView::named).collect();
                let place = used.first().and_then(|route| after.place(route.number, "rate_limits"));
                self.note(Change::new(effect, format!("the rate limit `{name}` {what}")).of(used).at(place));
            }
        }
        for (number, route) in &after.routes {
            let Some(was) = before.routes.get(number) else { continue };
            let mut found = Vec::new();
            for name in was.limits.difference(&route.limits) {
                found.push(("rate_limits", Effect::Loosens, format!("the rate limit `{name}` does not hold any more")));
            }
            for name in route.limits.difference(&was.limits) {
                found.push(("rate_limits", Effect::Tightens, format!("the rate limit `{name}` holds")));
            }
            let bounds = [
                ("request_bytes_max", was.request_bytes_max as u128, route.request_bytes_max as u128, bytes as fn(u128) -> String),
                ("reply_bytes_max", was.reply_bytes_max as u128, route.reply_bytes_max as u128, bytes),
                ("timeout", was.timeout.as_millis(), route.timeout.as_millis(), time),
                ("stream.idle", was.stream.idle.as_millis(), route.stream.idle.as_millis(), time),
                ("stream.max_age", was.stream.max_age.as_millis(), route.stream.max_age.as_millis(), time),
            ];
            for (key, was, is, shown) in bounds.into_iter().filter(|(_, was, is, _)| was != is) {
                found.push((key, by_size(was, is), format!("`{key}` is {}, and was {}", shown(is), shown(was))));
            }
            for (key, effect, what) in found {
                self.note(Change::new(effect, what).of([route.named()]).at(after.place(*number, key)));
            }
        }
    }
}

/// More of it lets more through.
pub(super) fn by_size(was: u128, is: u128) -> Effect {
    if is > was { Effect::Loosens } else { Effect::Tightens }
}

pub(super) fn bytes(size: u128) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| size >= *unit && size.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", size / unit),
        None => format!("{size}B"),
    }
}

pub(super) fn time(milliseconds: u128) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

/// What is different of a limit.
fn spec(was: &LimitSpec, is: &LimitSpec) -> Vec<(Effect, String)> {
    let mut found = Vec::new();
    let rate = |spec: &LimitSpec| format!("{}/{}", spec.count, per(spec.per));
    // So many in so long, held against each other without a division.
    let [slow, fast] = [(was, is), (is, was)].map(|(count, time)| u128::from(count.count.get()) * time.per.as_nanos());
    if slow != fast {
        found.push((by_size(slow, fast), format!("lets {} through, and let {}", rate(is), rate(was))));
    }
    if was.burst != is.burst {
        found.push((by_size(was.burst.get().into(), is.burst.get().into()), format!("has a burst of {}, and had {}", is.burst, was.burst)));
    }
    if was.key != is.key {
        // Which of two keys counts more callers together is not to be told.
        let key = |spec: &LimitSpec| spec.key.iter().map(KeyPart::name).collect::<Vec<_>>().join(", ");
        found.push((Effect::Loosens, format!("counts by [{}], and counted by [{}]", key(is), key(was))));
    }
    match (was.mode, is.mode) {
        (Mode::Enforce, Mode::DryRun) => found.push((Effect::Loosens, "refuses nobody any more (`dry_run`)".to_owned())),
        (Mode::DryRun, Mode::Enforce) => found.push((Effect::Tightens, "refuses, and only counted before (`dry_run`)".to_owned())),
        _ => {}
    }
    if was.keys_max != is.keys_max {
        found.push((Effect::Changes, format!("keeps {} keys, and kept {}", is.keys_max, was.keys_max)));
    }
    found
}

fn per(time: Duration) -> String {
    match time.as_secs() {
        1 => "s".to_owned(),
        60 => "min".to_owned(),
        3600 => "h".to_owned(),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limit(count: u32, seconds: u64, mode: Mode) -> LimitSpec {
        let number = |number| NonZeroU32::new(number).expect("it is not 0");
        LimitSpec {
            name: "l".into(),
            key: vec![KeyPart::Caller],
            count: number(count),
            per: Duration::from_secs(seconds),
            burst: number(5),
            mode,
            keys_max: 10,
        }
    }

    #[test]
    fn a_rate_is_a_rate_whatever_its_unit() {
        let compared = |was: (u32, u64), is: (u32, u64)| {
            spec(&limit(was.0, was.1, Mode::Enforce), &limit(is.0, is.1, Mode::Enforce))
                .into_iter()
                .map(|(effect, _)| effect)
                .collect::<Vec<_>>()
        };
        assert_eq!(compared((60, 60), (1, 1)), []);
        assert_eq!(compared((60, 60), (2, 1)), [Effect::Loosens]);
        assert_eq!(compared((2, 1), (100, 60)), [Effect::Tightens]);
    }

    #[test]
    fn a_limit_that_refuses_nobody_any_more_is_looser() {
        let found = spec(&limit(1, 1, Mode::Enforce), &LimitSpec { key: vec![KeyPart::Global], ..limit(1, 1, Mode::DryRun) });
        assert!(found.iter().all(|(effect, _)| *effect == Effect::Loosens) && found.len() == 2, "{found:?}");
        assert_eq!(spec(&limit(1, 1, Mode::DryRun), &limit(1, 1, Mode::Enforce))[0].0, Effect::Tightens);
    }
}
