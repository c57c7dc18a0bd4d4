//! Tests as they are written, to tests that can be run: every name in them is looked up, and every message is held against its type.
//!
//! A mistake in a test is found before anything runs, by the code that serves: what is no `JoinRoomRequest` to the gateway is none here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::meaning::Meaning;
use super::stage::Answer;
use crate::backend::EndpointSpec;
use crate::config::document::trial::Expect;
use crate::config::read_tests;
use crate::diagnostic::{FileId, Report, Sources, Span, Spanned};
use crate::files::Files;
use crate::table::plan::Plan;

/// How a file of tests is called.
const ENDING: &str = ".test.yaml";

/// Tests that can be run, unless the report has errors.
pub struct Suite {
    pub tests: Vec<Test>,
    pub sources: Sources,
    pub report: Report,
}

pub struct Test {
    pub file: FileId,
    pub name: Spanned<String>,
    pub who: Who,
    /// By backend.
    pub endpoints: Arc<HashMap<String, Vec<EndpointSpec>>>,
    pub steps: Vec<Step>,
}

/// Who the client is.
#[derive(Default)]
pub struct Who {
    pub user: Option<String>,
    pub roles: Vec<String>,
    pub token_id: String,
    pub peer: Option<IpAddr>,
}

pub struct Step {
    pub doing: Doing,
    pub expect: Expect,
    pub span: Span,
    /// Where it stands in its file: `tests[0].steps[1]`.
    pub path: String,
}

pub enum Doing {
    Call(Box<Call>),
    Push { number: u32, to: Target, message: Bytes },
    Wait(Duration),
}

/// Whom a push is for.
pub enum Target {
    Topic(String),
    User(String),
}

pub struct Call {
    pub number: u32,
    pub payload: Payload,
    pub times: u32,
    pub every: Duration,
    pub metadata: Vec<(String, String)>,
    pub idempotency_key: String,
    pub deadline: Option<Duration>,
    pub answers: Vec<Says>,
    /// By the paths of the guards.
    pub guards: Vec<(String, Answer)>,
}

/// What a client sends.
pub enum Payload {
    None,
    Json(String),
    Bytes(Vec<u8>),
}

/// What a service answers; a token is made when it runs.
pub enum Says {
    Ready(Answer),
    WithToken { json: String, user: String, roles: Vec<String> },
}

/// Every file of tests below these folders, and these files. The error says which of them cannot be read.
pub fn files_of(files: &Files, paths: &[PathBuf]) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    let mut found = Vec::new();
    for path in paths {
        match files.walk(path, "yaml") {
            Ok(below) => found.extend(below.into_iter().filter(|path| is_test(path))),
            Err(_) if files.exists(path) => found.push(path.clone()),
            Err(error) => return Err((path.clone(), error)),
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}

// === impl Suite ===

impl Suite {
    /// Reads the tests in these files, for a configuration that is sound.
    pub fn read(files: &Files, paths: &[PathBuf], plan: &Plan) -> Suite {
        let (mut sources, mut report) = (Sources::default(), Report::default());
        let mut tests = Vec::new();
        for (file, read) in read_tests(files, paths, &mut sources, &mut report) {
            Meaning::new(plan, &mut report).file(file, read, &mut tests);
        }
        Suite { tests, sources, report }
    }
}
