//! The map is true: ARCHITECTURE's table of imports, the files that it names, the first line of every file, the links of every document.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" && name != "data" {
                below(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&top().join(folder), extension, &mut found);
    found.sort();
    found
}

/// Room → what it may import, from the table in ARCHITECTURE.md; and the ground.
fn map() -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let text = fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap();
    let names = |cell: &str| cell.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect::<BTreeSet<_>>();
    let rooms = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            (cells[0].trim().trim_matches('`').to_owned(), names(cells[2]))
        })
        .collect();
    let ground = text.lines().find_map(|line| line.strip_prefix("The ground: ")).expect("ARCHITECTURE names the ground");
    (rooms, names(&ground.replace(['`', '.'], "")))
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(top().join("src")).unwrap();
    inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Every room that a source text names, as `crate::room` or `protogate::room`.
fn imported(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        for prefix in ["crate::", "protogate::"] {
            for (at, _) in line.match_indices(prefix) {
                let rest = &line[at + prefix.len()..];
                let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                found.insert(name);
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let (rooms, ground) = map();
    let mut wrong = Vec::new();
    for path in files("src", "rs") {
        let room = room_of(&path);
        // A room's tests may use what the gateway has, such as a built-in service to call.
        if room == "lib" || path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for import in imported(&text) {
            let known = rooms.contains_key(&import) || ground.contains(&import);
            let allowed = import == room || ground.contains(&import) || rooms.get(&room).is_some_and(|may| may.contains(&import));
            if known && !allowed {
                wrong.push(format!("{}: `{room}` may not import `{import}`", path.strip_prefix(top()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_every_room_and_no_other() {
    let (rooms, ground) = map();
    let named: BTreeSet<String> = rooms.keys().cloned().chain(ground).collect();
    let there: BTreeSet<String> = files("src", "rs").iter().map(|path| room_of(path)).filter(|room| room != "lib").collect();
    assert_eq!(named, there);
}

#[test]
fn imports_in_the_table_run_downwards() {
    let (rooms, _) = map();
    let order: Vec<String> = fs::read_to_string(top().join("ARCHITECTURE.md"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `").and_then(|rest| rest.split('`').next()).map(str::to_owned))
        .collect();
    let place = |room: &String| order.iter().position(|name| name == room);
    for (room, imports) in &rooms {
        for import in imports {
            assert!(place(import) > place(room), "`{room}` imports `{import}`, which stands above it");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")).chain(files("benches", "rs")).chain(files("examples", "rs")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
    }
}

#[test]
fn every_file_of_tests_is_run() {
    let main = fs::read_to_string(top().join("tests/main.rs")).unwrap();
    for entry in fs::read_dir(top().join("tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else { continue };
        assert!(main.contains(&format!("\nmod {module};\n")), "tests/{name} is no module of tests/main.rs");
    }
}

#[test]
fn no_file_has_grown_a_second_subject() {
    for path in files("src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(code <= 420, "{} has {code} lines before its tests: look for the second subject in it", path.display());
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for path in files(".", "md") {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = Vec::new();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(top().join(name)).unwrap();
        // In a block of code there are no backquotes; a name without a slash is a word.
        for quoted in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains('/')) {
            let path = |c: char| c.is_ascii_alphanumeric() || "/._".contains(c);
            if !quoted.chars().all(path) {
                continue;
            }
            let places = [format!("src/{quoted}"), format!("src/{quoted}.rs"), quoted.to_owned()];
            if !places.iter().any(|place| top().join(place).exists()) {
                missing.push(format!("{name}: {quoted}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
