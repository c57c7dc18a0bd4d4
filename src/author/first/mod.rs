//! A configuration to begin with: every method of some descriptors has a route, or it is the shipped one.
//!
//! Promises: what is written passes `check` as it is, or nothing is written; what is there already is never written over; no descriptor,
//! whoever told it, chooses more than words in a comment and letters of a name. Nothing of it is open to everybody outside of development
//! unless somebody has said so.
//!
//! - `found`: reads descriptors, from a folder, a set or a server
//! - `naming`, `numbering`: what their services and methods are called, and which number each has
//! - `routes`, `files`: the text of a route, and of every file
//! - `place`: puts the files where they were asked for

mod files;
mod found;
mod naming;
mod numbering;
mod place;
mod routes;

use std::path::PathBuf;

use crate::config::value::EndpointUrl;
use crate::diagnostic::{Report, Sources};
use crate::files::Files;
use crate::proto::{Method, Pools};
use crate::reflection::Unanswered;

pub use place::{Placed, place};

/// What a person asks for.
pub struct Wish {
    pub from: From,
    /// The folder that the files are for.
    pub folder: PathBuf,
    /// Where the services listen, if that is known.
    pub endpoint: Option<EndpointUrl>,
    /// The first number of the first service.
    pub first: u32,
    pub access: Opening,
    /// Whether methods that are deprecated are routed as well.
    pub deprecated: bool,
}

/// Where descriptors come from.
pub enum From {
    /// .proto files.
    Folder(PathBuf),
    /// A `FileDescriptorSet`.
    Set(PathBuf),
    /// A server that has reflection.
    Server(EndpointUrl),
}

/// To whom routes are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// To everybody in development; elsewhere to those whose role grants it.
    Development,
    /// To everybody, everywhere.
    Anonymous,
    /// To those whose role grants it.
    Authenticated,
}

/// Files that are not written yet.
pub struct Draft {
    /// Name below the folder, and content. What makes a configuration of them is the last.
    pub files: Vec<(String, Vec<u8>)>,
    pub services: usize,
    pub routes: usize,
    /// A call to begin with: number and request. Nothing: no method takes a single message.
    pub call: Option<(u32, String)>,
    /// Whether somebody still has to say where the services listen.
    pub lacks_endpoint: bool,
}

/// Why nothing was written.
pub enum Refused {
    /// Something is wrong with the descriptors, or with what was made of them.
    Findings(Box<(Report, Sources)>),
    Server(Unanswered),
    /// Files that are there already.
    Exists(Vec<PathBuf>),
    /// In words.
    Because(String),
}

/// The role that may call what was routed.
pub const ROLE: &str = "user";

/// Makes a configuration out of descriptors. `pools` is what it will be checked with.
pub fn draft(wish: &Wish, pools: &Pools) -> Result<Draft, Refused> {
    let found = found::find(wish, pools)?;
    let numbered = numbering::number(&found.services, wish)?;
    let files = files::write(&numbered, &found, wish);
    Ok(Draft {
        files,
        services: numbered.len(),
        routes: numbered.iter().flat_map(|service| &service.routes).filter(|route| wish.takes(&route.method)).count(),
        call: routes::call(&numbered),
        lacks_endpoint: wish.endpoint().is_none(),
    })
}

/// The configuration that the program is shipped with, and its .proto files.
pub fn shipped() -> Draft {
    let mut files: Vec<(String, Vec<u8>)> = Files::all_shipped().map(|(name, text)| files::moved(name, text)).collect();
    files.sort_by_key(|(name, _)| name == files::MAIN);
    Draft { files, services: 0, routes: 0, call: Some((9001, "{\"text\":\"hello\"}".to_owned())), lacks_endpoint: false }
}

// === impl Wish ===

impl Wish {
    /// Whether a method is routed, or only has its number kept.
    fn takes(&self, method: &Method) -> bool {
        self.deprecated || !method.deprecated
    }

    /// Where the services listen: a server listens where it answered.
    fn endpoint(&self) -> Option<&EndpointUrl> {
        match (&self.endpoint, &self.from) {
            (None, From::Server(url)) => Some(url),
            (endpoint, _) => endpoint.as_ref(),
        }
    }
}

// === impl Draft ===

impl Draft {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }
}
