//! A request to send, from what a sender wrote to a batch in the store: everything that is wrong with it is said at once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tonic::Code;

use super::super::auth::{Email, SettingsCell};
use super::super::documents::digest;
use super::super::refusal::{Refusal, Result};
use super::batch::{Message, Recipient, Ways};
use super::batches::{Again, Batches};
use super::kinds::{self, LIFE_MAX};
use super::parameters;
use super::templates::{Template, Templates, is_locale};
use super::v1::send_request::Content;
use super::v1::{self, Channel, Importance, NotificationType, SendRequest};
use super::words::Words;
use super::wrong::Wrong;

const USERS_MAX: usize = 10_000;
const USER_BYTES_MAX: usize = 256;
const KEY_BYTES_MAX: usize = 128;
const DATA_MAX: usize = 16;
const DATA_BYTES_MAX: usize = 1024;

/// What can be wrong with a request.
const INVALID: &str = "INVALID_NOTIFICATION";

/// Takes requests to send.
#[derive(Clone)]
pub struct Sending {
    pub templates: Templates,
    pub batches: Batches,
    pub settings: SettingsCell,
}

// === impl Sending ===

impl Sending {
    /// Stores what is to be told. The batch's id, and how many it is for.
    pub async fn send(&self, request: SendRequest) -> Result<(String, u32)> {
        if request.recipients.len() > USERS_MAX {
            let what = format!("a notification is for at most {USERS_MAX} users; send it to the others in another one");
            return Err(Refusal::invalid("recipients", "TOO_MANY_USERS", what));
        }
        let mut wrong = Wrong::default();
        let ways = check(&request, &mut wrong);
        let again = again(&request, &mut wrong);
        if let (true, Some(again)) = (wrong.is_empty(), &again)
            && let Some(before) = self.batches.sent_before(again).await?
        {
            return Ok(before);
        }
        if ways.mail && self.settings.load().mail.is_none() {
            let what = "no mail is sent here; configure `auth.mail` in gateway.yaml, or send in the application alone";
            return Err(Refusal::new(Code::FailedPrecondition, "MAIL_NOT_CONFIGURED", what));
        }
        let SendRequest { recipients, content, r#type, importance, data, expires_in, .. } = request;
        let (said_kind, said_importance) = (kind(r#type), loudness(importance));
        let (template, words, recipients) = match content {
            Some(Content::Literal(literal)) => {
                let words = Words::of(literal).in_line();
                words.check_literal("literal", &mut wrong);
                (None, vec![words], recipients.into_iter().map(|recipient| addressed(recipient, 0)).collect())
            }
            Some(Content::Template(filled)) => {
                let template = self.templates.named(&filled.name).await?;
                let values = parameters::filled(&template.parameters, filled.parameters, &mut wrong);
                let (words, recipients) = match wrong.is_empty() {
                    true => translated(&template, &values, recipients)?,
                    false => Default::default(),
                };
                (Some(template), words, recipients)
            }
            None => {
                wrong.say("content", "must be `literal` or `template`");
                Default::default()
            }
        };
        wrong.end(INVALID)?;
        let kind = kinds::kind(said_kind, template.as_ref().map(|template| self::kind(template.kind)));
        let importance = kinds::loudness(said_importance, template.as_ref().map(|template| loudness(template.importance)), kind);
        let life = if expires_in == 0 { kinds::life(kind) } else { Duration::from_secs(expires_in.into()) };
        let data: BTreeMap<String, String> = data.into_iter().collect();
        let (kind, importance) = (kind.into(), importance.into());
        let message = Message { kind, importance, data, words };
        self.batches.open(&message, &recipients, life, ways, again).await
    }
}

/// All that can be seen without the store.
fn check(request: &SendRequest, wrong: &mut Wrong) -> Ways {
    if request.recipients.is_empty() {
        wrong.say("recipients", "must name somebody");
    }
    let mut users = HashSet::new();
    for (index, v1::Recipient { user_id, email, locale }) in request.recipients.iter().enumerate() {
        if !is_user(user_id) {
            wrong.say(format!("recipients[{index}].user_id"), format!("must have 1 to {USER_BYTES_MAX} bytes and no control characters"));
        } else if !users.insert(user_id.as_str()) {
            wrong.say(format!("recipients[{index}].user_id"), "names somebody a second time");
        }
        if !email.is_empty() && Email::parse(email).is_err() {
            wrong.say(format!("recipients[{index}].email"), "is no mail address");
        }
        if !locale.is_empty() && !is_locale(locale) {
            wrong.say(format!("recipients[{index}].locale"), "is no locale such as `en` or `de-AT`");
        }
    }
    if NotificationType::try_from(request.r#type).is_err() {
        wrong.say("type", "is none that there is");
    }
    if Importance::try_from(request.importance).is_err() {
        wrong.say("importance", "is none that there is");
    }
    let data_bytes: usize = request.data.iter().map(|(key, value)| key.len() + value.len()).sum();
    if request.data.len() > DATA_MAX || data_bytes > DATA_BYTES_MAX {
        wrong.say("data", format!("has more than {DATA_MAX} entries or {DATA_BYTES_MAX} bytes"));
    }
    if u64::from(request.expires_in) > LIFE_MAX.as_secs() {
        wrong.say("expires_in", format!("is more than {} seconds", LIFE_MAX.as_secs()));
    }
    ways(&request.channels, wrong)
}

fn ways(written: &[i32], wrong: &mut Wrong) -> Ways {
    let mut ways = Ways { in_app: written.is_empty(), mail: false };
    for channel in written {
        match Channel::try_from(*channel) {
            Ok(Channel::InApp) => ways.in_app = true,
            Ok(Channel::Mail) => ways.mail = true,
            Ok(Channel::Unspecified) | Err(_) => wrong.say("channels", "names a channel that there is not"),
        }
    }
    ways
}

/// The key of a request, and what tells it from others. Maps have no order on the wire, so they are put into one.
fn again(request: &SendRequest, wrong: &mut Wrong) -> Option<Again> {
    let key = request.idempotency_key.as_str();
    if key.is_empty() {
        return None;
    }
    if key.len() > KEY_BYTES_MAX {
        wrong.say("idempotency_key", format!("has more than {KEY_BYTES_MAX} bytes"));
        return None;
    }
    let whom: Vec<_> = request.recipients.iter().map(|v1::Recipient { user_id, email, locale }| (user_id, email, locale)).collect();
    let what = match &request.content {
        Some(Content::Literal(v1::Words { title, body, html })) => (title.as_str(), body.as_str(), html.as_str(), BTreeMap::new()),
        Some(Content::Template(filled)) => ("", "", filled.name.as_str(), filled.parameters.iter().collect()),
        None => ("", "", "", BTreeMap::new()),
    };
    let data: BTreeMap<_, _> = request.data.iter().collect();
    let how = (request.r#type, request.importance, &request.channels, request.expires_in);
    let asked = serde_json::to_string(&(whom, what, data, how)).expect("texts and numbers can be written");
    Some(Again { key: key.to_owned(), asked: digest(&asked) })
}

/// The words in every language that somebody reads, and for each one which those are.
fn translated(template: &Template, values: &parameters::Values, recipients: Vec<v1::Recipient>) -> Result<(Vec<Words>, Vec<Recipient>)> {
    let (mut locales, mut words, mut addressees) = (Vec::new(), Vec::new(), Vec::new());
    for recipient in recipients {
        let (locale, templates) = template.words(&recipient.locale);
        let index = match locales.iter().position(|known| *known == locale) {
            Some(index) => index,
            None => {
                let failed =
                    |problem| Refusal::new(Code::FailedPrecondition, "TEMPLATE_FAILED", format!("the template in `{locale}` {problem}"));
                words.push(templates.render(values).map_err(failed)?);
                locales.push(locale);
                locales.len() - 1
            }
        };
        addressees.push(addressed(recipient, index));
    }
    Ok((words, addressees))
}

fn addressed(v1::Recipient { user_id: user, email, .. }: v1::Recipient, words: usize) -> Recipient {
    Recipient { user, email: Some(email).filter(|email| !email.is_empty()), words }
}

fn is_user(user: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control)
}

fn kind(number: i32) -> NotificationType {
    NotificationType::try_from(number).unwrap_or_default()
}

fn loudness(number: i32) -> Importance {
    Importance::try_from(number).unwrap_or_default()
}
