//! Mail: over SMTP, or in development into a folder.
//!
//! Promises: sending ends by a deadline; nothing of a mail, and no address, is ever logged.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

pub use lettre::message::Mailbox;
use lettre::message::MultiPart;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;

/// How long a mail server may take for one mail, from connecting to taking it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How mail is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// Who it is from.
    pub from: Mailbox,
    pub way: Way,
}

/// Where it goes.
#[derive(Clone, PartialEq, Eq)]
pub enum Way {
    Smtp(Smtp),
    /// Into the outbox: a folder of `.eml` files, for development.
    Outbox,
}

/// One mail.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    pub to: &'a lettre::Address,
    pub subject: &'a str,
    pub text: &'a str,
    /// The same for programs that show HTML.
    pub html: Option<&'a str>,
    /// Tells a mail server that sees it twice that it is one mail. It is no secret.
    pub id: Option<&'a str>,
}

/// A mail server. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
    pub tls: SmtpTls,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SmtpTls {
    /// In clear text at first, and not at all if it does not offer TLS.
    StartTls,
    /// From the first byte.
    Tls,
    /// In clear text.
    None,
}

// === impl MailSettings ===

impl MailSettings {
    /// Sends a mail. `outbox`: the folder for mail that goes nowhere else. The error is for the log, and says nothing of what was sent.
    pub async fn send(&self, outbox: &Path, letter: Letter<'_>) -> Result<(), String> {
        let message = self.message(letter).map_err(|error| format!("the mail cannot be written: {error}"))?;
        let sent = match &self.way {
            Way::Smtp(smtp) => timeout(PATIENCE, smtp.send(message)).await,
            Way::Outbox => timeout(PATIENCE, put(outbox, message)).await,
        };
        sent.unwrap_or_else(|_| Err(format!("the mail was not taken within {} seconds", PATIENCE.as_secs())))
    }

    fn message(&self, Letter { to, subject, text, html, id }: Letter<'_>) -> Result<Message, lettre::error::Error> {
        let mut message = Message::builder().from(self.from.clone()).to(Mailbox::new(None, to.clone())).subject(subject);
        if let Some(id) = id {
            message = message.message_id(Some(format!("<{id}@{}>", self.from.email.domain())));
        }
        match html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(text.to_owned(), html.to_owned())),
            None => message.header(ContentType::TEXT_PLAIN).body(text.to_owned()),
        }
    }
}

// === impl Smtp ===

impl Smtp {
    async fn send(&self, message: Message) -> Result<(), String> {
        let tls = match self.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(self.tls_parameters()?),
            SmtpTls::Tls => Tls::Wrapper(self.tls_parameters()?),
        };
        let mut server =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host).port(self.port).tls(tls).timeout(Some(PATIENCE));
        if let Some((user, password)) = &self.login {
            server = server.credentials(Credentials::new(user.clone(), password.clone()));
        }
        server.build().send(message).await.map(drop).map_err(|error| format!("{}:{} did not take a mail: {error}", self.host, self.port))
    }

    fn tls_parameters(&self) -> Result<TlsParameters, String> {
        TlsParameters::new(self.host.clone()).map_err(|error| format!("TLS with {} cannot be set up: {error}", self.host))
    }
}

/// Writes a mail into a folder that is its owner's alone.
async fn put(folder: &Path, message: Message) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the mail cannot be put into {}: {error}", folder.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
    AsyncFileTransport::<Tokio1Executor>::new(folder).send(message).await.map(drop).map_err(|error| failed(&error))
}
