//! One question of `grpc.reflection.v1.ServerReflection`, and its answer.
//!
//! Its method is a stream of questions and answers. One question and the end of the stream is answered by one message and the end of
//! that stream, so that asking is an ordinary unary call. `v1alpha` has the same messages by another name.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::time::Instant;

use crate::backend::{self, Backend};
use crate::failure::{Code, Failure, Reason, Result};
use crate::id::WorkerId;

/// The most of a server's words that somebody is shown.
const MESSAGE_BYTES_MAX: usize = 500;

/// Which name the service has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    V1,
    V1Alpha,
}

/// What is asked.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Question {
    #[prost(string, tag = "3")]
    FileByFilename(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

/// What is answered.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Answer {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Refused(Refused),
}

/// Files, encoded.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub files: Vec<bytes::Bytes>,
}

/// Every service of a server.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Services {
    #[prost(message, repeated, tag = "1")]
    pub services: Vec<ServiceEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServiceEntry {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Refused {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Asked {
    #[prost(oneof = "Question", tags = "3, 4, 7")]
    pub question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answered {
    #[prost(oneof = "Answer", tags = "4, 6, 7")]
    pub answer: Option<Answer>,
}

/// A server that is asked.
pub(super) struct Server<'a> {
    pub backend: &'a Backend,
    pub headers: Arc<HeaderMap>,
    /// How long one answer may take.
    pub patience: Duration,
    /// When all of them must have come.
    pub deadline: Instant,
}

// === impl Version ===

impl Version {
    pub(super) fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Version::V1 => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Version::V1Alpha => "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        })
    }
}

// === impl Server ===

impl Server<'_> {
    /// Asks one question. What the server refuses is a failure with the code that it names.
    pub(super) async fn ask(&self, version: Version, question: Question, bytes_max: usize) -> Result<Answer> {
        let asked = Asked { question: Some(question) };
        let length = asked.encoded_len();
        let mut body = BytesMut::with_capacity(backend::frame(length).len() + length);
        body.put_slice(&backend::frame(length));
        asked.encode(&mut body).expect("there is room for all of it");
        let request = backend::Request {
            path: version.path(),
            headers: Arc::clone(&self.headers),
            metadata: Vec::new(),
            trace: None,
            choice: backend::Choice::default(),
            body: body.freeze(),
            deadline: self.deadline.min(Instant::now() + self.patience),
            hurried: false,
            retry: None,
            reply_bytes_max: bytes_max,
        };
        let reply = self.backend.call(WorkerId(0), request).await?;
        let unreadable = || Failure::gateway(Reason::BadReply, "the backend gave an answer that is none of reflection");
        match Answered::decode(reply.message).map_err(|_| unreadable())?.answer.ok_or_else(unreadable)? {
            Answer::Refused(Refused { code, mut message }) => {
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
                let code = u32::try_from(code).map_or(Code::Unknown, Code::from_number);
                Err(Failure::backend(if code == Code::Ok { Code::Unknown } else { code }, None, message, Vec::new()))
            }
            answer => Ok(answer),
        }
    }
}
