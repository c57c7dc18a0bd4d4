//! Whose word is believed of who somebody is, and which roles come with it: issuers of tokens, API keys, new accounts.
//!
//! Nothing of a key or a secret is said but that it is another.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::{by_size, time};
use super::{Change, Comparing, Effect};
use crate::pipeline::api_key::ApiKeySpec;
use crate::pipeline::auth::IssuerSpec;

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn identity(&mut self) {
        let (before, after) = (self.before, self.after);
        self.members(keys(&before.issuers), keys(&after.issuers), |name| format!("tokens of `{name}` are believed"));
        for (name, is) in &after.issuers {
            if let Some(was) = before.issuers.get(name) {
                self.issuer(name, was, is);
            }
        }
        self.members(keys(&before.api_keys), keys(&after.api_keys), |name| format!("the API key `{name}` is believed"));
        for (name, is) in &after.api_keys {
            if let Some(was) = before.api_keys.get(name) {
                self.api_key(name, was, is);
            }
        }
        let (was, is) = (&before.settings.accounts, &after.settings.accounts);
        self.members(&was.default_roles, &is.default_roles, |role| format!("a new account has the role `{role}`"));
        if was.mail != is.mail {
            self.note(Change::new(Effect::Changes, "mail is sent otherwise (`auth.mail`)"));
        }
        let (was, is) = (before.settings.token_ttls, after.settings.token_ttls);
        for (key, was, is) in [("access_ttl", was.0, is.0), ("refresh_ttl", was.1, is.1)] {
            if was != is {
                let (was, is) = (was.as_millis(), is.as_millis());
                let what = format!("`auth.signing.{key}` is {}, and was {}", time(is), time(was));
                self.note(Change::new(by_size(was, is), what));
            }
        }
    }

    fn issuer(&mut self, name: &str, was: &IssuerSpec, is: &IssuerSpec) {
        if (was.algorithm, &was.keys) != (is.algorithm, &is.keys) {
            self.note(Change::new(Effect::Opens, format!("tokens of `{name}` are believed by another key")));
        }
        self.members(&was.audience, &is.audience, |audience| format!("tokens of `{name}` for `{audience}` are believed"));
        if was.roles_claim != is.roles_claim {
            let [is, was] = [is, was].map(|spec| match &spec.roles_claim {
                Some(claim) => format!("from `claims.{}`", claim.join(".")),
                None => "nowhere".to_owned(),
            });
            let what = format!("the roles in tokens of `{name}` are read {is}, and were read {was}");
            self.note(Change::new(Effect::Opens, what));
        }
        self.members(&was.default_roles, &is.default_roles, |role| format!("a token of `{name}` that lists no roles has `{role}`"));
        if was.leeway != is.leeway {
            let (was, is) = (was.leeway.as_millis(), is.leeway.as_millis());
            let what = format!("the leeway of `{name}` is {}, and was {}", time(is), time(was));
            self.note(Change::new(by_size(was, is), what));
        }
    }

    fn api_key(&mut self, name: &str, was: &ApiKeySpec, is: &ApiKeySpec) {
        if was.hash != is.hash {
            self.note(Change::new(Effect::Opens, format!("the API key `{name}` is another one")));
        }
        if was.user != is.user {
            self.note(Change::new(Effect::Opens, format!("the API key `{name}` is `{}`'s, and was `{}`'s", is.user, was.user)));
        }
        self.members(&was.roles, &is.roles, |role| format!("the API key `{name}` has the role `{role}`"));
    }

    /// What is new in a list lets somebody do more, and what is gone lets them do less. `what` says what it is to be in it.
    pub(super) fn members<T: ToString>(
        &mut self,
        was: impl IntoIterator<Item = T>,
        is: impl IntoIterator<Item = T>,
        what: impl Fn(&str) -> String,
    ) {
        let (was, is) = (texts(was), texts(is));
        is.difference(&was).for_each(|new| self.note(Change::new(Effect::Opens, what(new))));
        let gone = was.difference(&is);
        gone.for_each(|gone| self.note(Change::new(Effect::Closes, format!("it is no longer so that {}", what(gone)))));
    }
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn keys<'a, T>(map: &BTreeMap<&'a str, T>) -> Vec<&'a str> {
    map.keys().copied().collect()
}
