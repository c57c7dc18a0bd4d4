//! What one .proto file declares, without what is in it: enough to know whether somebody needs the file, and what else it needs.
//!
//! It is found by `scan` in a text, and here in a compiled file. Promises: whatever the bytes are, nothing here panics, nests deeper
//! than [`DEPTH_MAX`] or takes more memory than a few times the names.

use super::method::Kind;
use super::read::{self, Malformed, Wire};

/// Deepest nesting of declarations that is followed; prost and protox go no deeper either.
pub(super) const DEPTH_MAX: usize = 100;

/// Numbers in a `FileDescriptorProto`.
const FILE_NAME: u32 = 1;
const FILE_PACKAGE: u32 = 2;
const FILE_DEPENDENCY: u32 = 3;
const FILE_MESSAGE: u32 = 4;
const FILE_ENUM: u32 = 5;
const FILE_SERVICE: u32 = 6;
const FILE_EXTENSION: u32 = 7;
/// In everything that is declared.
const NAME: u32 = 1;
const MESSAGE_MESSAGE: u32 = 3;
const MESSAGE_EXTENSION: u32 = 6;
const MESSAGE_OPTIONS: u32 = 7;
const OPTIONS_MAP_ENTRY: u32 = 7;
const FIELD_EXTENDEE: u32 = 2;
const SERVICE_METHOD: u32 = 2;
const METHOD_TAKES_STREAM: u32 = 5;
const METHOD_ANSWERS_STREAM: u32 = 6;

/// What a file declares. Names are full: `package.Message`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Declared {
    pub package: Box<str>,
    /// The files it imports, as it names them.
    pub imports: Vec<Box<str>>,
    /// Messages, those inside messages too, without the entries of maps.
    pub messages: Vec<Box<str>>,
    /// Enums outside of messages.
    pub enums: Vec<Box<str>>,
    pub services: Vec<DeclaredService>,
    /// Whose fields it adds to.
    pub extended: Vec<Extended>,
    /// Part of it makes no sense, so that there may be more in it than is known.
    pub doubtful: bool,
}

/// A service, and the names of its methods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredService {
    /// `package.Service`.
    pub name: Box<str>,
    pub methods: Vec<DeclaredMethod>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredMethod {
    pub name: Box<str>,
    pub kind: Kind,
}

/// A message that is extended, as it is named there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Extended {
    /// Where that stands: the package, or a message.
    pub scope: Box<str>,
    /// With a dot before it when it is full.
    pub name: Box<str>,
}

/// What is known while a file is read.
#[derive(Default)]
pub(super) struct Draft {
    pub declared: Declared,
    /// The package may be said behind what it is about, so that names are completed in the end.
    pub package: String,
}

// === impl DeclaredService ===

impl DeclaredService {
    /// Each method, `package.Service/Method`.
    pub fn methods(&self) -> impl Iterator<Item = String> {
        self.methods.iter().map(|method| format!("{}/{}", self.name, method.name))
    }
}

// === impl Declared ===

impl Declared {
    /// The service of this name, if it is declared here.
    pub fn service(&self, name: &str) -> Option<&DeclaredService> {
        self.services.iter().find(|service| &*service.name == name)
    }

    /// Every message, enum and service outside of messages and inside.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().chain(&self.enums).chain(self.services.iter().map(|service| &service.name)).map(|name| &**name)
    }

    /// Reads a `FileDescriptorProto`, whose name comes with it.
    pub(super) fn of_compiled(file: &[u8]) -> Result<(String, Declared), Malformed> {
        let (mut name, mut draft) = (String::new(), Draft::default());
        for field in read::fields(file) {
            let field = field?;
            let body = &file[field.body];
            match field.number {
                FILE_NAME..=FILE_EXTENSION if field.wire != Wire::Len => return Err(Malformed),
                FILE_NAME => name = text(body)?.to_owned(),
                FILE_PACKAGE => draft.package = text(body)?.to_owned(),
                FILE_DEPENDENCY => draft.declared.imports.push(text(body)?.into()),
                FILE_MESSAGE => draft.compiled_message(body, "", 0)?,
                FILE_ENUM => draft.declared.enums.push(name_of(body)?.into()),
                FILE_SERVICE => draft.declared.services.push(compiled_service(body)?),
                FILE_EXTENSION => draft.compiled_extension(body, "")?,
                _ => {}
            }
        }
        if name.is_empty() { Err(Malformed) } else { Ok((name, draft.complete())) }
    }
}

// === impl Extended ===

impl Extended {
    /// Every full name that may be meant, the nearest first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = String> {
        let full = self.name.strip_prefix('.').map(str::to_owned);
        let mut scope = full.is_none().then_some(&*self.scope);
        let within = std::iter::from_fn(move || {
            let here = scope?;
            scope = if here.is_empty() { None } else { Some(here.rsplit_once('.').map_or("", |(outer, _)| outer)) };
            Some(join(here, &self.name))
        });
        full.into_iter().chain(within)
    }
}

// === impl Draft ===

impl Draft {
    /// Puts the package before every name.
    pub fn complete(self) -> Declared {
        let (mut declared, package) = (self.declared, self.package);
        if !package.is_empty() {
            let complete = |name: &mut Box<str>| *name = join(&package, name).into();
            declared.messages.iter_mut().chain(&mut declared.enums).for_each(complete);
            declared.services.iter_mut().for_each(|service| complete(&mut service.name));
            declared.extended.iter_mut().for_each(|extended| extended.scope = join(&package, &extended.scope).into());
        }
        declared.package = package.into();
        declared
    }

    fn compiled_message(&mut self, message: &[u8], scope: &str, depth: usize) -> Result<(), Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed);
        }
        if is_map_entry(message)? {
            return Ok(());
        }
        let name = join(scope, name_of(message)?);
        self.declared.messages.push(name.as_str().into());
        for field in read::fields(message) {
            let field = field?;
            match (field.number, field.wire) {
                (MESSAGE_MESSAGE, Wire::Len) => self.compiled_message(&message[field.body], &name, depth + 1)?,
                (MESSAGE_EXTENSION, Wire::Len) => self.compiled_extension(&message[field.body], &name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn compiled_extension(&mut self, field: &[u8], scope: &str) -> Result<(), Malformed> {
        if let Some(name) = last_text(field, FIELD_EXTENDEE)? {
            self.extends(scope, name);
        }
        Ok(())
    }

    /// Notes a message that is extended, once for all of its fields.
    pub fn extends(&mut self, scope: &str, name: &str) {
        let extended = Extended { scope: scope.into(), name: name.into() };
        if !self.declared.extended.contains(&extended) {
            self.declared.extended.push(extended);
        }
    }
}

// === impl Kind ===

impl Kind {
    /// By whether either side sends a stream.
    pub(super) fn of_streams(takes: bool, answers: bool) -> Kind {
        match (takes, answers) {
            (false, false) => Kind::Unary,
            (false, true) => Kind::ServerStream,
            (true, false) => Kind::ClientStream,
            (true, true) => Kind::Bidi,
        }
    }
}

/// `scope.name`.
pub(super) fn join(scope: &str, name: &str) -> String {
    match (scope, name) {
        ("", name) => name.to_owned(),
        (scope, "") => scope.to_owned(),
        (scope, name) => format!("{scope}.{name}"),
    }
}

fn compiled_service(service: &[u8]) -> Result<DeclaredService, Malformed> {
    let mut methods = Vec::new();
    for field in read::fields(service) {
        let field = field?;
        if field.number == SERVICE_METHOD && field.wire == Wire::Len {
            methods.push(compiled_method(&service[field.body])?);
        }
    }
    Ok(DeclaredService { name: name_of(service)?.into(), methods })
}

fn compiled_method(method: &[u8]) -> Result<DeclaredMethod, Malformed> {
    let (mut takes, mut answers) = (false, false);
    for field in read::fields(method) {
        let field = field?;
        let value = || read::varint(&mut &method[field.body.clone()]).map(|value| value != 0);
        match (field.number, field.wire) {
            (METHOD_TAKES_STREAM, Wire::Varint) => takes = value()?,
            (METHOD_ANSWERS_STREAM, Wire::Varint) => answers = value()?,
            _ => {}
        }
    }
    Ok(DeclaredMethod { name: name_of(method)?.into(), kind: Kind::of_streams(takes, answers) })
}

fn is_map_entry(message: &[u8]) -> Result<bool, Malformed> {
    let mut entry = false;
    for field in read::fields(message) {
        let field = field?;
        if field.number != MESSAGE_OPTIONS || field.wire != Wire::Len {
            continue;
        }
        let options = &message[field.body];
        for option in read::fields(options) {
            let option = option?;
            if option.number == OPTIONS_MAP_ENTRY && option.wire == Wire::Varint {
                entry = read::varint(&mut &options[option.body])? != 0;
            }
        }
    }
    Ok(entry)
}

fn name_of(declaration: &[u8]) -> Result<&str, Malformed> {
    last_text(declaration, NAME)?.ok_or(Malformed)
}

/// Of two occurrences the later counts, as everywhere in protobuf.
fn last_text(message: &[u8], number: u32) -> Result<Option<&str>, Malformed> {
    let mut found = None;
    for field in read::fields(message) {
        let field = field?;
        if field.number == number && field.wire == Wire::Len {
            found = Some(text(&message[field.body])?);
        }
    }
    Ok(found)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}
