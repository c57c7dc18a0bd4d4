//! Where the module of each .proto file is.
//!
//! Promises: no name of a file leads out of the folder, and no two files have one module, also where a disk knows no capitals.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::FileDescriptorProto;

use super::messages::{Declared, local_name};
use super::names::unused;
use crate::proto::Reached;

/// Files that the runtime brings, and that are not in its usual module.
const APART: [&str; 3] = ["api", "source_context", "type"];

/// One module.
pub struct Place {
    /// Below `src` and without an extension, or a module of the runtime.
    pub module: String,
    pub declared: Declared,
}

/// All of them, by the name of the .proto file.
pub struct Places(BTreeMap<String, Place>);

// === impl Places ===

impl Places {
    /// Below a folder, which ends with a slash if it is not empty.
    pub fn below(folder: &str, reached: &Reached) -> Places {
        let mut taken = BTreeSet::new();
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for file in &reached.files {
            let module = format!("{folder}{}", unused_by_case(&tame(file.name()), &mut taken));
            places.insert(file.name().to_owned(), Place { module, declared: Declared::of(file) });
        }
        let imports = reached.files.iter().flat_map(|file| file.dependency.iter().cloned());
        let asked = WELL_KNOWN.iter().map(|name| format!("google/protobuf/{name}.proto"));
        for name in imports.chain(asked) {
            if let Some(module) = brought(&name).filter(|_| !places.contains_key(&name)) {
                let declared = Declared::of(&FileDescriptorProto { name: Some(name.clone()), ..FileDescriptorProto::default() });
                places.insert(name, Place { module, declared });
            }
        }
        Places(places)
    }

    pub fn of(&self, file: &str) -> Option<&Place> {
        self.0.get(file)
    }

    /// The module of a message, and what its schema is called there.
    pub fn schema(&self, reached: &Reached, full: &str) -> (&str, String) {
        let place = reached.file_of(full).and_then(|file| self.of(file)).expect("every message of a route is reached and has a place");
        let schema = place.declared.names.get(full).map_or_else(|| format!("{}Schema", local_name(full)), |names| names.schema.clone());
        (&place.module, schema)
    }
}

/// Files of which a route may take or give a message by itself.
const WELL_KNOWN: [&str; 11] =
    ["any", "api", "descriptor", "duration", "empty", "field_mask", "source_context", "struct", "timestamp", "type", "wrappers"];

// === impl Place ===

impl Place {
    /// A module of ours that declares no message.
    pub fn at(module: &str) -> Place {
        Place { module: module.to_owned(), declared: Declared::of(&FileDescriptorProto::default()) }
    }

    /// How this module imports another.
    pub fn to(&self, module: &str) -> String {
        if module.starts_with('@') {
            return module.to_owned();
        }
        let up = self.module.matches('/').count();
        let start = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
        format!("{start}{module}.js")
    }
}

/// The module of the runtime that brings a file.
fn brought(name: &str) -> Option<String> {
    let stem = name.strip_prefix("google/protobuf/")?.strip_suffix(".proto")?;
    Some(if APART.contains(&stem) {
        format!("@bufbuild/protobuf/wkt/google/protobuf/{stem}_pb.js")
    } else {
        "@bufbuild/protobuf/wkt".to_owned()
    })
}

/// A path of plain names: what is no letter, digit, `-` or `_` becomes `_`.
fn tame(name: &str) -> String {
    let stem = name.strip_suffix(".proto").unwrap_or(name);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let parts = stem.split(['/', '\\']).filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(|part| part.chars().map(plain).collect()).collect();
    format!("{}_pb", parts.join("/"))
}

fn unused_by_case(module: &str, taken: &mut BTreeSet<String>) -> String {
    let free = unused(module.to_ascii_lowercase(), taken);
    format!("{module}{}", &free[module.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_file_leads_out_of_the_folder() {
        let names =
            ["../../etc/passwd.proto", "/root/x.proto", "a\\..\\b.proto", "a/./b.proto", "a b\n.proto", "C:/x.proto", "é.proto", ""];
        let found = names.map(tame);
        assert_eq!(found, ["__/__/etc/passwd_pb", "root/x_pb", "a/__/b_pb", "a/_/b_pb", "a_b__pb", "C_/x_pb", "__pb", "_pb"]);
        assert!(found.iter().all(|path| !path.contains('.') && !path.starts_with('/')));
    }

    #[test]
    fn files_that_differ_in_capitals_have_different_modules() {
        let mut taken = BTreeSet::new();
        let found = ["game_pb", "Game_pb", "GAME_pb"].map(|name| unused_by_case(name, &mut taken));
        assert_eq!(found, ["game_pb", "Game_pb$", "GAME_pb$1"]);
    }

    #[test]
    fn modules_find_each_other() {
        let place = Place::at;
        assert_eq!(place("messages/a/b/c_pb").to("messages/a/d_pb"), "../../../messages/a/d_pb.js");
        assert_eq!(place("routes").to("messages/x_pb"), "./messages/x_pb.js");
        assert_eq!(place("routes").to("@bufbuild/protobuf/wkt"), "@bufbuild/protobuf/wkt");
    }
}
