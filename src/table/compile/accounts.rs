//! `auth.accounts` and `auth.mail` to what the built-in service `auth` is told.

use super::missing;
use super::process::lint_secret;
use crate::config::document::{self, GatewayFile};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::services::auth::Settings;
use crate::services::mail::{MailSettings, Mailbox, Smtp, SmtpTls, Way};

/// Who mail is from that goes nowhere.
const OUTBOX_FROM: &str = "protogate@localhost";

/// Whether mail may go into a folder where no server is named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outbox {
    Allowed,
    Refused,
}

/// What is broken keeps its built-in value and is reported.
pub fn compile(gateway: &GatewayFile, outbox: Outbox, report: &mut Report) -> Settings {
    let auth = gateway.auth.as_ref();
    let mut settings = Settings::default();
    if let Some(roles) = auth.and_then(|auth| auth.accounts.as_ref()).and_then(|accounts| accounts.default_roles.as_ref()) {
        settings.default_roles = roles.iter().map(|role| role.as_str().to_owned()).collect();
    }
    settings.mail = match auth.and_then(|auth| auth.mail.as_ref()) {
        Some(written) => mail(written, outbox, report),
        None if outbox == Outbox::Allowed => Some(MailSettings { from: mailbox(OUTBOX_FROM), way: Way::Outbox }),
        None => None,
    };
    settings
}

fn mailbox(text: &str) -> Mailbox {
    text.parse().expect("this is an address")
}

fn mail(written: &Spanned<document::Mail>, outbox: Outbox, report: &mut Report) -> Option<MailSettings> {
    let from = written.from.as_ref()?;
    let parsed: Result<Mailbox, _> = from.as_str().parse();
    if parsed.is_err() {
        let what = "mail cannot be from this address";
        let help = "write `from: \"Game <game@example.com>\"`";
        report.push(Diagnostic::new(Rule::BadValue, from.span, what).help(help).path("auth.mail.from"));
    }
    let way = match &written.smtp {
        Some(smtp) => Way::Smtp(server(smtp, report)?),
        None if outbox == Outbox::Allowed => Way::Outbox,
        None => {
            let help = "write `smtp: { host: smtp.example.com, user: game, password: \"${var.smtp_password}\" }`";
            report.push(missing(written.span, "mail needs a server here: the outbox is for development", help).path("auth.mail.smtp"));
            return None;
        }
    };
    Some(MailSettings { from: parsed.ok()?, way })
}

fn server(written: &Spanned<document::SmtpServer>, report: &mut Report) -> Option<Smtp> {
    if let Some(password) = &written.password {
        lint_secret(password, "auth.mail.smtp.password", report);
    }
    // Of a half that could not be read that is known, and it is not missed.
    let spoken_of = ["user", "password"].iter().any(|key| report.speaks_of(&format!("auth.mail.smtp.{key}")));
    let mut bad = |finding: Diagnostic, key: &str| report.push(finding.path(format!("auth.mail.smtp.{key}")));
    let tls = match written.tls.as_ref().map(|tls| tls.value) {
        Some(document::SmtpTls::StartTls) | None => SmtpTls::StartTls,
        Some(document::SmtpTls::Tls) => SmtpTls::Tls,
        Some(document::SmtpTls::None) => SmtpTls::None,
    };
    let default_port = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Tls => 465,
        SmtpTls::None => 25,
    };
    let port = match &written.port {
        None => Some(default_port),
        Some(port) => u16::try_from(port.value).ok().filter(|port| *port > 0).or_else(|| {
            bad(Diagnostic::new(Rule::BadValue, port.span, "a port is a number from 1 to 65535").help("write `port: 587`"), "port");
            None
        }),
    };
    let login = match (&written.user, &written.password) {
        (Some(user), Some(password)) => Some((user.as_str().to_owned(), password.expose().to_owned())),
        (None, None) => None,
        _ if spoken_of => None,
        (user, _) => {
            let (there, absent) = if user.is_some() { ("user", "password") } else { ("password", "user") };
            let help = "write both, or leave both out";
            bad(missing(written.span, format!("a mail server with a `{there}` needs a `{absent}` too"), help), absent);
            None
        }
    };
    if let (Some(written), SmtpTls::None, Some(_)) = (&written.tls, tls, &login) {
        let what = "the password would travel in clear text";
        bad(Diagnostic::new(Rule::BadValue, written.span, what).help("write `tls: starttls`, or leave out `user` and `password`"), "tls");
        return None;
    }
    let host = written.host.as_ref()?.as_str().to_owned();
    Some(Smtp { host, port: port?, login, tls })
}
