//! `protogate fmt`: the files of the configuration in one layout.
//!
//! A file is written as a whole or not at all, and only if it means the same and has all of its comments. Promise: what a file includes is
//! written only below the folder that was named.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;

use super::{Exit, UNREADABLE, harmless, say};
use crate::config::layout::{Unlaid, layout};
use crate::config::{Environment, FILE_BYTES_MAX, schema};
use crate::diagnostic::render::{self, Color};
use crate::diagnostic::{Report, Sources};
use crate::files::{self, normal, reason};

/// Lay out the files of a configuration: two spaces a level, one blank line at most, `{ a: b }`; comments, quotes and the order of keys stay.
///
/// Of a folder these are routes.yaml, what it includes below the folder, gateway.yaml, the overlays of all, and *.test.yaml. `-` reads
/// standard input and prints what becomes of it. A file that is not sound YAML is left as it is, and what is wrong with it is said.
///
/// Example: protogate fmt --check routes
#[derive(Args)]
pub struct Fmt {
    /// Write nothing; name the files that would change, and end with exit code 1 if there are any.
    #[arg(long)]
    check: bool,

    /// Files, and folders of configurations; `routes` where nothing is said.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What came of one file.
enum Outcome {
    Same,
    Changed,
    /// What is wrong was said; the exit code.
    Refused(u8),
}

// === impl Fmt ===

impl Fmt {
    pub fn run(self) -> Result<(), Exit> {
        if self.paths == [PathBuf::from("-")] {
            return self.standard_input();
        }
        let files = self.files()?;
        let (mut changed, mut worst) = (0, None);
        for path in &files {
            match self.file(path) {
                Outcome::Same => {}
                Outcome::Changed => {
                    changed += 1;
                    say(&harmless(&format!("{}\n", path.display())));
                }
                Outcome::Refused(code) => worst = worst.max(Some(code)),
            }
        }
        let count = |n: usize| format!("{n} file{}", if n == 1 { "" } else { "s" });
        let verb = if self.check { "would change" } else { "changed" };
        eprintln!("fmt: {changed} of {} {verb}", count(files.len()));
        match worst {
            Some(code) => Err(Exit::new(code, "")),
            None if self.check && changed > 0 => Err(Exit::new(1, "")),
            None => Ok(()),
        }
    }

    fn standard_input(&self) -> Result<(), Exit> {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
        let text = read.and_then(|_| text_of(bytes)).map_err(|error| Exit::new(UNREADABLE, format!("error: {}", reason(&error))))?;
        let laid = laid(Path::new("-"), &text).map_err(|code| Exit::new(code, ""))?;
        match self.check {
            true if laid != text => Err(Exit::new(1, "")),
            true => Ok(()),
            false => {
                say(&laid);
                Ok(())
            }
        }
    }

    fn file(&self, path: &Path) -> Outcome {
        let failed = |what: &str, error: &io::Error| {
            eprintln!("{}", harmless(&format!("error: `{}` cannot be {what}: {}", path.display(), reason(error))));
            Outcome::Refused(UNREADABLE)
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => return failed("read", &error),
        };
        match laid(path, &text) {
            Err(code) => Outcome::Refused(code),
            Ok(laid) if laid == text => Outcome::Same,
            Ok(_) if self.check => Outcome::Changed,
            Ok(laid) => match files::rewrite(path, laid.as_bytes()) {
                Ok(()) => Outcome::Changed,
                Err(error) => failed("written", &error),
            },
        }
    }

    fn files(&self) -> Result<BTreeSet<PathBuf>, Exit> {
        let default = [PathBuf::from("routes")];
        let paths = if self.paths.is_empty() { &default } else { self.paths.as_slice() };
        let mut files = BTreeSet::new();
        for path in paths {
            if path.is_dir() {
                let found = of_folder(path);
                if found.is_empty() {
                    let what = format!("error: `{}` holds neither routes.yaml nor gateway.yaml", path.display());
                    return Err(Exit::new(UNREADABLE, harmless(&what)));
                }
                files.extend(found);
            } else {
                files.insert(path.clone());
            }
        }
        Ok(files)
    }
}

/// The files of a configuration that are there.
fn of_folder(folder: &Path) -> BTreeSet<PathBuf> {
    let routes = folder.join("routes.yaml");
    let mut files = vec![routes.clone(), folder.join("gateway.yaml")];
    if let Some(main) = read(&routes).ok().and_then(|text| schema::plain(&text)) {
        let included = main["include"].as_array().into_iter().flatten().filter_map(|path| path.as_str());
        // What a file says chooses nothing to write to elsewhere.
        files.extend(included.map(|path| normal(&folder.join(path))).filter(|path| is_below(path, folder)));
    }
    let overlays = files.iter().flat_map(|file| Environment::ALL.map(|environment| environment.overlay_of(file))).collect::<Vec<_>>();
    files.extend(overlays);
    let beside = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    files.extend(beside.filter(|path| path.to_string_lossy().ends_with(".test.yaml")));
    files.into_iter().filter(|file| file.is_file()).collect()
}

fn is_below(path: &Path, folder: &Path) -> bool {
    path.strip_prefix(normal(folder)).is_ok_and(|rest| rest.is_relative() && !rest.starts_with(".."))
}

/// The text in its layout, or the exit code after what keeps it from one was said.
fn laid(path: &Path, text: &str) -> Result<String, u8> {
    let (mut sources, mut report) = (Sources::default(), Report::default());
    let file = sources.add(path, text.strip_prefix('\u{feff}').unwrap_or(text).to_owned());
    layout(file, text, &mut report).map_err(|why| {
        match why {
            Unlaid::Broken => {
                let color = if io::stderr().is_terminal() { Color::Styled } else { Color::Plain };
                eprint!("{}", render::human(&report, &sources, color));
            }
            Unlaid::Strange => {
                let what = "is left as it is: something in it is written in a way that a layout would not keep";
                eprintln!("{}", harmless(&format!("error: `{}` {what}", path.display())));
            }
        }
        1
    })
}

/// What is no regular file, such as a pipe, could go on for ever.
fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    text_of(bytes)
}

fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_below_a_folder_or_it_is_not() {
        let below = |path: &str, folder: &str| is_below(&normal(&Path::new(folder).join(path)), Path::new(folder));
        for folder in ["routes", "./routes", ".", "..", "../routes", "/etc/routes"] {
            assert!(below("a.yaml", folder) && below("sub/a.yaml", folder) && below("./sub/../a.yaml", folder), "{folder}");
            assert!(!below("../a.yaml", folder) && !below("/etc/passwd", folder), "{folder}");
        }
    }
}
