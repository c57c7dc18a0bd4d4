//! Templates in the store: `notifytemplate:<name>`, and `notifytemplates:all`, which lists them.
//!
//! Promises: a template that is stored works, and uses only what it declares; every definition has a version of its own, in order; what was
//! sent keeps its words, whatever becomes of the template.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::super::documents::{self, Outcome, Read, TRIES, outrun, written};
use super::super::refusal::{Refusal, Result};
use super::parameters::{self, Parameter};
use super::v1;
use super::words::Words;
use super::wrong::Wrong;
use crate::clock::Clock;
use crate::store::{Batch, Durability, Expect, Key, Store};

const TEMPLATES_MAX: usize = 500;
const LOCALES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;
const LOCALE_BYTES_MAX: usize = 35;

/// A template, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct Template {
    pub name: String,
    /// Numbers of the contract.
    pub kind: i32,
    pub importance: i32,
    pub parameters: Vec<Parameter>,
    words: BTreeMap<String, Words>,
    default_locale: String,
    version: u32,
    defined_ms: u64,
}

/// A line of the list.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    name: String,
    kind: i32,
    importance: i32,
    version: u32,
    defined_ms: u64,
}

/// Where templates are kept.
#[derive(Clone)]
pub struct Templates {
    store: Store,
    clock: Clock,
}

fn key(name: &str) -> Key {
    Key::new("notifytemplate", name)
}

fn list_key() -> Key {
    Key::new("notifytemplates", "all")
}

// === impl Template ===

impl Template {
    /// The words for a locale, or those that come nearest: of its language, else of the default. Which those are, and they.
    pub fn words(&self, locale: &str) -> (&str, &Words) {
        let language = locale.split('-').next().unwrap_or_default();
        let near = [locale, language, &self.default_locale].into_iter().find_map(|locale| self.words.get_key_value(locale));
        near.map(|(locale, words)| (locale.as_str(), words)).expect("a template that was taken has words for its default locale")
    }

    fn of(asked: v1::Template) -> Result<Template> {
        let mut wrong = Wrong::default();
        if !is_name(&asked.name) {
            wrong.say("name", format!("must be 1 to {NAME_BYTES_MAX} small letters, digits, `_`, `-` and `.`"));
        }
        if v1::NotificationType::try_from(asked.r#type).is_err() {
            wrong.say("type", "is none that there is");
        }
        if v1::Importance::try_from(asked.importance).is_err() {
            wrong.say("importance", "is none that there is");
        }
        let parameters = parameters::declared(asked.parameters, &mut wrong);
        if asked.words.len() > LOCALES_MAX {
            wrong.say("words", format!("has more than {LOCALES_MAX} locales"));
        }
        let words: BTreeMap<String, Words> =
            asked.words.into_iter().map(|(locale, words)| (locale, Words::of(words))).take(LOCALES_MAX).collect();
        for (locale, words) in &words {
            if !is_locale(locale) {
                wrong.say("words", "has a key that is no locale such as `en` or `de-AT`");
            } else {
                words.check_templates(&parameters, &format!("words.{locale}"), &mut wrong);
            }
        }
        if !words.contains_key(&asked.default_locale) {
            wrong.say("default_locale", "must be one of those that have words");
        }
        wrong.end("INVALID_TEMPLATE")?;
        let v1::Template { name, r#type: kind, importance, default_locale, .. } = asked;
        Ok(Template { name, kind, importance, parameters, words, default_locale, version: 0, defined_ms: 0 })
    }

    fn line(&self) -> Line {
        Line { name: self.name.clone(), kind: self.kind, importance: self.importance, version: self.version, defined_ms: self.defined_ms }
    }

    fn shown(&self) -> v1::Template {
        v1::Template {
            parameters: self.parameters.iter().map(Parameter::shown).collect(),
            words: self.words.iter().map(|(locale, words)| (locale.clone(), words.shown())).collect(),
            default_locale: self.default_locale.clone(),
            ..self.line().shown()
        }
    }
}

// === impl Line ===

impl Line {
    fn shown(&self) -> v1::Template {
        v1::Template {
            name: self.name.clone(),
            r#type: self.kind,
            importance: self.importance,
            version: self.version,
            defined_ms: i64::try_from(self.defined_ms).unwrap_or(i64::MAX),
            ..v1::Template::default()
        }
    }
}

// === impl Templates ===

impl Templates {
    pub fn new(store: Store, clock: Clock) -> Templates {
        Templates { store, clock }
    }

    /// The template of a name.
    pub async fn named(&self, name: &str) -> Result<Template> {
        Ok(self.read(name).await?.ok_or_else(not_found)?.value)
    }

    /// Stores a template or its next version. Which that is.
    pub async fn define(&self, asked: v1::Template) -> Result<u32> {
        let mut template = Template::of(asked)?;
        for _ in 0..TRIES {
            let (before, list) = (self.read(&template.name).await?, self.list().await?);
            template.version = before.as_ref().map_or(0, |before| before.value.version) + 1;
            template.defined_ms = self.clock.now_ms();
            let (mut lines, unchanged) = parts(list);
            lines.retain(|line| line.name != template.name);
            if lines.len() >= TEMPLATES_MAX {
                let what = format!("there are {TEMPLATES_MAX} templates already; delete one");
                return Err(Refusal::new(Code::ResourceExhausted, "TOO_MANY_TEMPLATES", what));
            }
            lines.push(template.line());
            lines.sort_by(|one, other| one.name.cmp(&other.name));
            let expect = before.as_ref().map_or(Expect::Absent, Read::unchanged);
            let batch = Batch::new(Durability::Durable).put(key(&template.name), written(&template), expect, None);
            if self.write(batch.put(list_key(), written(&lines), unchanged, None)).await? {
                return Ok(template.version);
            }
        }
        Err(outrun().into())
    }

    /// All of them, without their words; or one, with everything.
    pub async fn shown(&self, name: &str) -> Result<Vec<v1::Template>> {
        if !name.is_empty() {
            return Ok(vec![self.named(name).await?.shown()]);
        }
        Ok(parts(self.list().await?).0.iter().map(Line::shown).collect())
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        for _ in 0..TRIES {
            let (before, list) = (self.read(name).await?.ok_or_else(not_found)?, self.list().await?);
            let (mut lines, unchanged) = parts(list);
            lines.retain(|line| line.name != name);
            let batch = Batch::new(Durability::Durable).delete(key(name), before.unchanged());
            if self.write(batch.put(list_key(), written(&lines), unchanged, None)).await? {
                return Ok(());
            }
        }
        Err(outrun().into())
    }

    async fn read(&self, name: &str) -> Result<Option<Read<Template>>> {
        // What cannot be a name is nobody's, and no key.
        if !is_name(name) {
            return Ok(None);
        }
        Ok(documents::read(&self.store, &key(name)).await?)
    }

    async fn list(&self) -> Result<Option<Read<Vec<Line>>>> {
        Ok(documents::read(&self.store, &list_key()).await?)
    }

    async fn write(&self, batch: Batch) -> Result<bool> {
        Ok(matches!(documents::outcome(self.store.write(batch).await)?, Outcome::Done))
    }
}

fn parts(list: Option<Read<Vec<Line>>>) -> (Vec<Line>, Expect) {
    let unchanged = list.as_ref().map_or(Expect::Absent, Read::unchanged);
    (list.map(|list| list.value).unwrap_or_default(), unchanged)
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "TEMPLATE_NOT_FOUND", "there is no template of this name; ListTemplates says which there are")
}

fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(sound)
}

/// Whether a text can be the name of a language, or of one in a region.
pub fn is_locale(locale: &str) -> bool {
    let sound = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    locale.len() <= LOCALE_BYTES_MAX && locale.split('-').all(sound)
}
