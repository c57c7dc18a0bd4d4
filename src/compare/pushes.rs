//! Messages that nobody asks for, and the topics on which they go.

use super::{Change, Comparing, Effect, Named};
use crate::diagnostic::Rule;
use crate::table::plan::{Join, PushPlan, TopicPlan};

/// Where topics are declared, if in no other file.
const ROUTES: &str = "routes.yaml";

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn pushes(&mut self) {
        let (before, after) = (self.before, self.after);
        for (number, push) in &before.pushes {
            let of = [named(push)];
            let Some(now) = after.pushes.get(number) else {
                let moved = after.pushes.values().find(|now| now.name == push.name && !before.pushes.contains_key(&now.number.0));
                let (what, place) = match moved {
                    Some(now) => {
                        (format!("push {number} `{}` has another number, {}", push.name, now.number.0), after.explained.push(now.number.0))
                    }
                    None => (format!("push {number} `{}` is gone", push.name), self.top_of_push(*number)),
                };
                self.note(Change::breaks(Rule::PushGone, what).of(of).at(place));
                continue;
            };
            // Two that are exchanged: clients take one for the other.
            let exchanged = after.pushes.values().find(|other| other.name == push.name && other.number.0 != *number);
            let is_other = |other: &PushPlan| push.message.name() != other.message.name();
            if let Some(other) = exchanged.filter(|other| is_other(now) && !is_other(other)) {
                let what = format!("push {number} `{}` has another number, {}", push.name, other.number.0);
                self.note(Change::breaks(Rule::PushGone, what).of(of).at(after.explained.push(other.number.0)));
                continue;
            }
            let mut found = Vec::new();
            if push.name != now.name {
                found.push(format!("push {number} is called `{}`, and was `{}`", now.name, push.name));
            }
            let (was, is) = (push.delivery.name(), now.delivery.name());
            if was != is {
                found.push(format!("push {number} `{}` is delivered `{is}`, and was `{was}`", now.name));
            }
            for what in found {
                self.note(Change::new(Effect::Changes, what).of(of.clone()).at(after.explained.push(*number)));
            }
        }
        for (number, push) in after.pushes.iter().filter(|(number, _)| !before.pushes.contains_key(number)) {
            let what = format!("push {number} `{}` is new", push.name);
            self.note(Change::new(Effect::Changes, what).of([named(push)]).at(after.explained.push(*number)));
        }
    }

    /// Clients know the names of topics that they may ask for themselves.
    pub(super) fn topics(&mut self) {
        let (before, after) = (self.before, self.after);
        let same = |one: &TopicPlan, other: &TopicPlan| kind(one) == kind(other);
        for topic in before.topics {
            let pattern = topic.rule.pattern.as_str();
            let Some(now) = after.topics.iter().find(|now| same(topic, now)) else {
                let what = format!("the topic `{pattern}` is gone");
                self.note(match &topic.join {
                    Join::Permission(..) => {
                        Change::breaks(Rule::TopicGone, format!("{what}, which clients may ask for")).at(after.explained.top_of(ROUTES))
                    }
                    Join::Effect => Change::new(Effect::Changes, what),
                });
                continue;
            };
            match (&topic.join, &now.join) {
                (Join::Permission(..), Join::Effect) => {
                    let what = format!("the topic `{pattern}` can no longer be asked for by clients");
                    self.note(Change::breaks(Rule::TopicGone, what).at(after.explained.top_of(ROUTES)));
                }
                (Join::Effect, Join::Permission(_, name)) => {
                    self.note(Change::new(Effect::Opens, format!("the topic `{pattern}` may be asked for by who has `{name}`")));
                }
                (Join::Permission(_, was), Join::Permission(_, is)) if was != is => {
                    self.note(Change::new(
                        Effect::Opens,
                        format!("the topic `{pattern}` may be asked for by who has `{is}`, and not `{was}`"),
                    ));
                }
                _ => {}
            }
            for what in rules(topic, now) {
                self.note(Change::new(Effect::Changes, format!("the topic `{pattern}` {what}")));
            }
        }
        for topic in after.topics.iter().filter(|topic| !before.topics.iter().any(|was| same(was, topic))) {
            let pattern = topic.rule.pattern.as_str();
            self.note(match &topic.join {
                Join::Effect => Change::new(Effect::Changes, format!("the topic `{pattern}` is new")),
                Join::Permission(_, name) => {
                    Change::new(Effect::Opens, format!("the topic `{pattern}` is new, and may be asked for by who has `{name}`"))
                }
            });
        }
    }

    fn top_of_push(&self, number: u32) -> Option<crate::diagnostic::Span> {
        let place = self.before.explained.push(number)?;
        self.after.explained.top_of(&self.before.explained.file_and_line(place).0)
    }
}

fn named(push: &PushPlan) -> Named {
    Named { number: push.number.0, name: push.name.to_string() }
}

/// What a topic does otherwise for those who hear it.
fn rules(was: &TopicPlan, is: &TopicPlan) -> Vec<String> {
    let (was, is) = (&was.rule, &is.rule);
    let history = match (was.history, is.history) {
        (was, is) if was == is => None,
        (None, _) => Some("keeps a history, and kept none"),
        (_, None) => Some("keeps no history any more"),
        _ => Some("keeps another part of its history"),
    };
    let presence = match (was.presence, is.presence) {
        (false, true) => Some("knows who is in it, and did not"),
        (true, false) => Some("knows no longer who is in it"),
        _ => None,
    };
    let events = (was.presence_events != is.presence_events).then(|| match is.presence_events {
        Some(number) => format!("tells by push {number} who comes and goes"),
        None => "tells no longer who comes and goes".to_owned(),
    });
    let gone = was.pushes.iter().filter(|number| !is.pushes.contains(number)).map(|number| format!("no longer carries push {number}"));
    let new = is.pushes.iter().filter(|number| !was.pushes.contains(number)).map(|number| format!("carries push {number}, and did not"));
    [history, presence].into_iter().flatten().map(str::to_owned).chain(events).chain(gone).chain(new).collect()
}

/// What a pattern takes, whatever its parts are called.
fn kind(topic: &TopicPlan) -> Vec<&str> {
    topic.rule.pattern.as_str().split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect()
}
