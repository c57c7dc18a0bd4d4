//! Asks a server for its services and everything they are made of.
//!
//! Promises: every question has a deadline, and so have all of them together; files, bytes, services and the depth of imports are
//! bounded; an answer to another question than was asked is an error, as is a file that is told twice and differently. The server is
//! not believed in anything else either: what it tells is read like any descriptor set, when a configuration is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::question::{Answer, Question, Server, Version};
use crate::backend::{self, Backend, Source, SpecKind};
use crate::failure::{Code, Failure};
use crate::proto::{FileSet, SetFile, is_bundled, is_full_name};

/// Services that say nothing of what a backend is for. Every backend may have them, each in another version.
pub const COMMON: [&str; 3] = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "grpc.health.v1.Health"];

/// Names that a message about an unknown one lists.
const NAMES_SHOWN_MAX: usize = 20;

/// How long to wait for the first endpoint of a backend whose endpoints are discovered, and how often to look.
const DISCOVERY_PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);

/// How much may be asked of one server.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub services_max: usize,
    pub files_max: usize,
    /// Of all files together, and of one answer.
    pub bytes_max: usize,
    pub answer_bytes_max: usize,
    /// How many files may import each other in a row.
    pub depth_max: usize,
    /// How long one answer may take, and all of them.
    pub question_timeout: Duration,
    pub timeout: Duration,
}

/// Why a server's descriptors are not known.
#[derive(Debug)]
pub enum Unanswered {
    /// It is not there, or too slow: it may answer another time.
    Unreachable(String),
    /// It answered, and this is what is wrong with that.
    Refused(String),
}

/// What is known so far.
struct Known<'a> {
    bounds: &'a Bounds,
    files: BTreeMap<String, SetFile>,
    bytes: usize,
    /// Files that are imported and not told yet, and how far from a service each is.
    wanted: BTreeMap<String, usize>,
}

// === impl Bounds ===

impl Default for Bounds {
    /// Beyond what services have: ten thousand messages are about 5 MiB. One answer is as large as gRPC takes by itself.
    fn default() -> Bounds {
        Bounds {
            services_max: 1000,
            files_max: 4000,
            bytes_max: 8 << 20,
            answer_bytes_max: 4 << 20,
            depth_max: 100,
            question_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(120),
        }
    }
}

/// What the backend tells of these services, or of all but the common ones. It must have been opened for one worker, here.
pub async fn ask(backend: &Backend, services: &[Arc<str>], bounds: &Bounds) -> Result<FileSet, Unanswered> {
    let server = Server {
        backend,
        headers: Arc::new(backend::headers([])),
        patience: bounds.question_timeout,
        deadline: Instant::now() + bounds.timeout,
    };
    let (version, offered) = list(&server, bounds).await?;
    let mut known = Known { bounds, files: BTreeMap::new(), bytes: 0, wanted: BTreeMap::new() };
    for service in chosen(services, &offered)? {
        if known.files.values().any(|file| file.has_service(&service)) {
            continue;
        }
        let question = Question::FileContainingSymbol(service.clone());
        let told = known.ask(&server, version, question, 0).await?;
        if !known.files.values().any(|file| file.has_service(&service)) {
            return Err(wrong(format!("asked for the service `{service}`, it told {}", named(&told))));
        }
    }
    while let Some((name, depth)) = known.wanted.pop_first() {
        if depth > bounds.depth_max {
            return Err(wrong(format!("more than {} files import each other in a row, the last is `{name}`", bounds.depth_max)));
        }
        match known.ask(&server, version, Question::FileByFilename(name.clone()), depth).await {
            Ok(_) if known.files.contains_key(&name) => {}
            Ok(told) => return Err(wrong(format!("asked for the file `{name}`, it told {}", named(&told)))),
            // Everybody has these, so that some servers do not tell them.
            Err(Unanswered::Refused(_)) if is_bundled(&name) => {}
            Err(problem) => return Err(problem),
        }
    }
    FileSet::of(known.files).map_err(|ring| wrong(format!("files import each other: {}", named(&ring))))
}

/// Every service that the server says it has, by the version of reflection that it speaks.
async fn list(server: &Server<'_>, bounds: &Bounds) -> Result<(Version, BTreeSet<String>), Unanswered> {
    let question = || Question::ListServices(String::new());
    discovered(server, question(), bounds).await;
    let (version, answer) = match server.ask(Version::V1, question(), bounds.answer_bytes_max).await {
        Err(failure) if failure.code() == Code::Unimplemented => {
            (Version::V1Alpha, server.ask(Version::V1Alpha, question(), bounds.answer_bytes_max).await)
        }
        answer => (Version::V1, answer),
    };
    let answer = answer.map_err(|failure| match failure.code() {
        Code::Unimplemented => wrong("it has no gRPC server reflection; switch it on in the service, or use `proto` or `set`"),
        _ => failed(&failure, "its services"),
    })?;
    let Answer::Services(told) = answer else { return Err(wrong("asked for its services, it told something else")) };
    if told.services.len() > bounds.services_max {
        return Err(wrong(format!("it has more than {} services", bounds.services_max)));
    }
    let offered: BTreeSet<String> = told.services.into_iter().map(|service| service.name).collect();
    match offered.iter().all(|name| is_full_name(name)) {
        true => Ok((version, offered)),
        false => Err(wrong("one of its services has a name that protobuf does not allow")),
    }
}

/// Waits until there is somebody to ask, where endpoints have to be found first; not for long, because there may be nobody.
async fn discovered(server: &Server<'_>, question: Question, bounds: &Bounds) {
    let SpecKind::Grpc(grpc) = &server.backend.spec().kind else { return };
    if matches!(grpc.source, Source::Static(_)) {
        return;
    }
    let until = Instant::now() + DISCOVERY_PATIENCE;
    while Instant::now() < until {
        match server.ask(Version::V1, question.clone(), bounds.answer_bytes_max).await {
            Err(failure) if failure.code() == Code::Unavailable => sleep(LOOK).await,
            _ => return,
        }
    }
}

/// The services to ask for.
fn chosen(services: &[Arc<str>], offered: &BTreeSet<String>) -> Result<Vec<String>, Unanswered> {
    if let Some(missing) = services.iter().find(|service| !offered.contains(&***service)) {
        let offered: Vec<String> = offered.iter().cloned().collect();
        return Err(wrong(format!("it has no service `{missing}`; it has {}", named(&offered))));
    }
    let chosen: Vec<String> = match services {
        [] => offered.iter().filter(|service| !COMMON.contains(&service.as_str())).cloned().collect(),
        services => services.iter().map(|service| service.to_string()).collect(),
    };
    match chosen.is_empty() {
        true => Err(wrong("it has no service but reflection and health; name them under `services` if you mean those")),
        false => Ok(chosen),
    }
}

// === impl Known ===

impl Known<'_> {
    /// Asks for files and takes them in. Their names.
    async fn ask(&mut self, server: &Server<'_>, version: Version, question: Question, depth: usize) -> Result<Vec<String>, Unanswered> {
        let what = match &question {
            Question::FileByFilename(name) => format!("the file `{name}`"),
            Question::FileContainingSymbol(name) => format!("the service `{name}`"),
            Question::ListServices(_) => unreachable!("services are listed before files are asked for"),
        };
        let answer = server.ask(version, question, self.bounds.answer_bytes_max).await.map_err(|failure| failed(&failure, &what))?;
        let Answer::Files(told) = answer else { return Err(wrong(format!("asked for {what}, it told something else"))) };
        let mut names = Vec::new();
        for bytes in told.files {
            let file = SetFile::read(&bytes).ok_or_else(|| wrong(format!("asked for {what}, it told what is no descriptor of a file")))?;
            names.push(file.name().to_owned());
            self.take(file, depth)?;
        }
        Ok(names)
    }

    fn take(&mut self, file: SetFile, depth: usize) -> Result<(), Unanswered> {
        let name = file.name().to_owned();
        self.wanted.remove(&name);
        match self.files.get(&name) {
            Some(known) if *known == file => return Ok(()),
            Some(_) => return Err(wrong(format!("it told the file `{name}` twice, and not the same"))),
            None => {}
        }
        self.bytes += file.len();
        if self.files.len() >= self.bounds.files_max {
            return Err(wrong(format!("its services need more than {} files", self.bounds.files_max)));
        }
        if self.bytes > self.bounds.bytes_max {
            return Err(wrong(format!("its descriptors are larger than {} MiB", self.bounds.bytes_max >> 20)));
        }
        for import in file.imports().filter(|import| !self.files.contains_key(*import) && *import != name) {
            let known = self.wanted.entry(import.to_owned()).or_insert(depth + 1);
            *known = (*known).min(depth + 1);
        }
        self.files.insert(name, file);
        Ok(())
    }
}

// === impl Unanswered ===

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Unreachable(why) => write!(f, "cannot be asked: {why}"),
            Unanswered::Refused(why) => write!(f, "cannot be locked: {why}"),
        }
    }
}

fn wrong(why: impl Into<String>) -> Unanswered {
    Unanswered::Refused(why.into())
}

fn failed(failure: &Failure, what: &str) -> Unanswered {
    let cause = failure.cause().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let why = format!("asked for {what}: {}{cause}", failure.message());
    match failure.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Unanswered::Unreachable(why),
        code => Unanswered::Refused(format!("{why} ({})", code.name())),
    }
}

/// Names as people read them, not too many.
fn named(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        _ if names.is_empty() => "nothing".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
