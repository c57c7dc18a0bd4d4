//! `protogate notify`: tell users something, now or when they come back.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::admin_client::{AdminClient, Door};
use super::{Exit, harmless, say};

/// Send a notification to users: into their histories and as push 4001, or by mail.
///
/// Example: protogate notify --user alice --title "Maintenance" --body "At noon the servers go down."
#[derive(Args)]
pub struct Notify {
    /// Whom; may be said several times.
    #[arg(long, value_name = "USER", required = true)]
    user: Vec<String>,

    /// Its title, of one line.
    #[arg(long, value_name = "TEXT", required_unless_present = "template", conflicts_with = "template")]
    title: Option<String>,

    /// Its text.
    #[arg(long, value_name = "TEXT", conflicts_with = "template")]
    body: Option<String>,

    /// The words of this template instead.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,

    /// A parameter of the template; may be said several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, requires = "template")]
    param: Vec<(String, String)>,

    /// The language of the template, such as `de-AT`.
    #[arg(long, value_name = "LOCALE", requires = "template")]
    locale: Option<String>,

    /// What it is about [default: the template's, else custom].
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Kind>,

    /// How loud it is [default: the template's, else the type's].
    #[arg(long, value_name = "LEVEL")]
    importance: Option<Importance>,

    /// How it is told; may be said several times.
    #[arg(long, value_name = "CHANNEL", default_value = "in-app")]
    channel: Vec<Channel>,

    /// Sending again with the same key within a day tells nobody twice.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    System,
    Game,
    Chat,
    Social,
    Custom,
}

#[derive(Clone, Copy, ValueEnum)]
enum Importance {
    Low,
    Normal,
    High,
}

#[derive(Clone, Copy, ValueEnum)]
enum Channel {
    InApp,
    Mail,
}

// === impl Notify ===

impl Notify {
    pub fn run(self) -> Result<(), Exit> {
        let parameters: BTreeMap<String, String> = self.param.into_iter().collect();
        let mut document = json!({ "users": self.user, "channels": self.channel.iter().map(name).collect::<Vec<_>>() });
        let said = [
            ("title", self.title),
            ("body", self.body),
            ("template", self.template),
            ("locale", self.locale),
            ("type", self.kind.as_ref().map(name)),
            ("importance", self.importance.as_ref().map(name)),
            ("idempotency_key", self.key),
        ];
        for (key, value) in said.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            document[key] = value.into();
        }
        if !parameters.is_empty() {
            document["parameters"] = json!(parameters);
        }
        let answer = AdminClient::of(self.door)?.post("/api/v1/notify", &document)?;
        report(&answer)
    }
}

/// What became of it. That somebody could not be told is said, and is no error of the command unless nobody was.
fn report(answer: &Value) -> Result<(), Exit> {
    let (Some(batch), Some(total)) = (answer["batch"].as_str(), answer["total"].as_u64()) else { return Err(Exit::refused(answer)) };
    let [sent, failed, skipped] = ["sent", "failed", "skipped"].map(|count| answer[count].as_u64().unwrap_or_default());
    let waiting = total.saturating_sub(sent + failed + skipped);
    let counts = [(sent, "told"), (failed, "failed"), (skipped, "skipped"), (waiting, "waiting")];
    let counts: Vec<String> = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    say(&format!("batch {}: {}\n", harmless(batch), counts.join(", ")));
    for error in answer["errors"].as_array().into_iter().flatten() {
        let [user, message] = ["user", "message"].map(|part| error[part].as_str().unwrap_or_default());
        eprintln!("warning: {}", harmless(&format!("{user}: {message}")));
    }
    if failed == total { Err(Exit::new(1, "error: nobody was told")) } else { Ok(()) }
}

/// As the operator's door calls it.
fn name(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value().expect("every value has a name").get_name().to_owned();
    name.replace('-', "_")
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
