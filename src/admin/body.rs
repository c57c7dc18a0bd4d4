//! The body of a request: bounded in bytes and time, and read strictly, because a misspelt change that changes nothing is worse than none.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Reply, error};
use crate::telemetry::mask::without_value;

/// How long a client may take to send its request's body, and how large that may be.
const TIMEOUT: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 64 << 10;

/// The longest name of a user, or id of a session or token.
const NAME_BYTES_MAX: usize = 256;

/// What a body says where there is nothing to say.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The whole body, or why not.
pub async fn whole(request: Request<Incoming>) -> Result<Bytes, Box<Reply>> {
    match timeout(TIMEOUT, Limited::new(request.into_body(), BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(problem)) if problem.is::<LengthLimitError>() => {
            Err(Box::new(error(StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 64 KiB")))
        }
        Ok(Err(_)) => Err(Box::new(error(StatusCode::BAD_REQUEST, "the body broke off"))),
        Err(_) => Err(Box::new(error(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"))),
    }
}

/// The body as what the endpoint takes.
pub async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Box<Reply>> {
    whole(request).await.and_then(|body| parse(&body))
}

/// The same where there need be none.
pub async fn read_if_any<T: DeserializeOwned + Default>(request: Request<Incoming>) -> Result<T, Box<Reply>> {
    whole(request).await.and_then(|body| if body.trim_ascii().is_empty() { Ok(T::default()) } else { parse(&body) })
}

/// That the body says nothing: there is none, or it is an empty object. Whoever says something meant something by it.
pub async fn nothing(request: Request<Incoming>) -> Result<(), Box<Reply>> {
    read_if_any(request).await.map(|Nothing {}| ())
}

/// The body as what the endpoint takes, of bytes that are there and may be kept. What is wrong is told without the value that is.
pub fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Box<Reply>> {
    // A list of its values would be read as well.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(wrong("it is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|problem| wrong(&without_value(&problem.to_string())))
}

fn wrong(what: &str) -> Box<Reply> {
    Box::new(error(StatusCode::BAD_REQUEST, &format!("the body is wrong: {what}")))
}

/// Refuses what names nobody: it would be a key in the store, and stand in the log.
pub fn names_somebody(what: &str, name: &str) -> Result<(), Box<Reply>> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let what = format!("`{what}` must have 1 to {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Box::new(error(StatusCode::BAD_REQUEST, &what)));
    }
    Ok(())
}
