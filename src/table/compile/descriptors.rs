//! `descriptors:` of every group: what they declare, compiled as far as something refers to it, and the locks of what backends tell.
//!
//! A lock is a file like a set: the backend that is named beside it is asked by `protogate lock` and by nobody who compiles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backends::Backends;
use super::routes::edited;
use super::{entries, items, missing};
use crate::backend::SpecKind;
use crate::config::Document;
use crate::config::document::{Descriptor, Policy};
use crate::config::value::{FilePath, Name, TypePattern};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};
use crate::files::{Files, normal};
use crate::proto::{DescriptorSource, Loaded, Missing, Pattern, Pools, Wanted};
use crate::table::plan::LockPlan;

/// How often a lock is compared with what its backend tells, where nothing is said: seldom enough to cost nothing, and often enough for
/// whoever deployed the service to still be about.
const REFRESH: Duration = Duration::from_secs(300);

/// One comparison asks the backend once for every file; nobody gains by more of them.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// The keys of a source, of which it has exactly one.
const KEYS: [&str; 3] = ["proto", "set", "reflection"];

/// The descriptors of every group, and of them all that something in the document refers to.
pub fn load(document: &mut Document, files: &Files, pools: &Pools, report: &mut Report) -> Loaded {
    let (mut sources, mut paths, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let mut wanted = wanted(document);
    for (path, descriptor) in written(document) {
        if let Some((source, key)) = source(descriptor, &path, report) {
            paths.push((source.span(), format!("{path}.{key}")));
            for written in items(&descriptor.types) {
                let pattern = Pattern::new(written.as_str());
                wanted.pattern(sources.len(), pattern.clone());
                types.push((sources.len(), pattern, written.clone(), format!("{path}.types")));
            }
            sources.push(source);
        }
    }
    let mut findings = Report::default();
    let loaded = pools.load(files, &sources, &wanted, &mut findings, &mut document.sources);
    findings.complete_paths(|finding| paths.iter().find(|(span, _)| *span == finding.label.span).map(|(_, path)| path.clone()));
    report.extend(findings);
    for (source, pattern, written, path) in types {
        if loaded.is_complete() && !loaded.index.has(source, &pattern) {
            report.push(no_such_type(&written, &loaded).path(path));
        }
    }
    loaded
}

/// Whatever is referred to by a name of protobuf. What is written in vain is reported where it is compiled.
fn wanted(document: &Document) -> Wanted {
    let mut wanted = Wanted::default();
    let policy = |policy: &Policy, wanted: &mut Wanted| {
        edited(&policy.guards).iter().filter_map(|guard| guard.rpc.as_ref()).for_each(|rpc| wanted.method(rpc.as_str()));
    };
    for group in &document.groups {
        group.routes.defaults.iter().for_each(|defaults| policy(defaults, &mut wanted));
        for (_, route) in entries(&group.routes.routes) {
            route.rpc.iter().for_each(|rpc| wanted.method(rpc.as_str()));
            policy(&route.policy, &mut wanted);
        }
        for (_, push) in entries(&group.routes.pushes) {
            push.message.iter().for_each(|message| wanted.name(message.as_str()));
        }
    }
    wanted
}

fn no_such_type(written: &Spanned<TypePattern>, loaded: &Loaded) -> Diagnostic {
    let what = match written.as_str().strip_suffix(".*") {
        Some(package) => format!("no type of this source has a name that begins with `{package}.`"),
        None => format!("this source declares no type `{}`", written.as_str()),
    };
    let finding = Diagnostic::new(Rule::UnknownMessage, written.span, what);
    suggest(finding, written.as_str(), &loaded.index.missing_message(written.as_str()))
}

/// Warns of sources of which nothing is needed. Descriptors may be there before the routes are.
pub fn lint_unused(document: &Document, loaded: &Loaded, report: &mut Report) {
    if document.groups.iter().all(|group| entries(&group.routes.routes).next().is_none() && entries(&group.routes.pushes).next().is_none())
    {
        return;
    }
    // Without errors every source that is written is one that was looked at.
    for (index, (path, descriptor)) in written(document).into_iter().enumerate() {
        let mut files = loaded.index.files().filter(|file| file.source == index);
        if files.any(|file| loaded.pool.has_file(&file.name)) {
            continue;
        }
        let finding = Diagnostic::new(Rule::Unused, descriptor.span, "no route, push or guard needs anything of this source");
        report.push(finding.help("remove it; or name in `types` what of it is needed all the same").path(path));
    }
}

/// Adds to a finding what may have been meant by a name that is not there.
pub fn suggest(finding: Diagnostic, written: &str, missing: &Missing) -> Diagnostic {
    let mut finding = finding.did_you_mean(written, missing.known.iter().map(String::as_str));
    if let Some(file) = &missing.doubtful {
        let said = finding.help.take().map(|help| format!("{help}; ")).unwrap_or_default();
        finding = finding.help(format!("{said}it may be in `{file}`, of which a part makes no sense"));
    }
    finding
}

/// Whether a name that the pool does not have is nowhere: with a source broken or left out, it may be in there, and that was said once.
pub fn are_known(descriptors: &Loaded, report: &Report) -> bool {
    descriptors.is_complete() && !report.speaks_of_part("descriptors")
}

/// The locks that make sense, whether their files are there or not.
pub fn locks(document: &Document, backends: &Backends, report: &mut Report) -> Vec<LockPlan> {
    let (mut locks, mut taken) = (Vec::new(), BTreeMap::new());
    for (path, descriptor) in written(document) {
        let (Some(backend), Some(lock)) = (&descriptor.reflection, &descriptor.lock) else { continue };
        if report.speaks_of(&format!("{path}.services")) {
            continue;
        }
        let file = normal(lock.as_path());
        if let Some(first) = taken.insert(file.clone(), lock.span) {
            let what = format!("`{}` is the lock of two sources", file.display());
            let finding = Diagnostic::new(Rule::BadValue, lock.span, what).related(first, "and of this one");
            report.push(finding.help("give each source a file of its own").path(format!("{path}.lock")));
            continue;
        }
        let refresh = refresh(descriptor, &path, report);
        let Some(index) = asked(backend, &path, backends, report) else { continue };
        locks.push(LockPlan {
            backend: backends.get(index).clone(),
            file,
            services: items(&descriptor.services).iter().map(|service| service.shared()).collect(),
            refresh,
        });
    }
    locks
}

/// Every source that is written down, and the path of it.
fn written(document: &Document) -> Vec<(String, &Spanned<Descriptor>)> {
    let groups = document.groups.iter().flat_map(|group| items(&group.routes.descriptors).iter().enumerate());
    groups.map(|(index, descriptor)| (format!("descriptors[{index}]"), descriptor)).collect()
}

/// The source, and the key that names its file.
fn source(descriptor: &Spanned<Descriptor>, path: &str, report: &mut Report) -> Option<(DescriptorSource, &'static str)> {
    let file = |written: &Spanned<FilePath>| written.as_path().to_path_buf();
    let misplaced = [
        ("lock", descriptor.lock.as_ref().map(|it| it.span)),
        ("services", descriptor.services.as_ref().map(|it| it.span)),
        ("refresh", descriptor.refresh.as_ref().map(|it| it.span)),
    ];
    if let (None, Some((key, span))) = (&descriptor.reflection, misplaced.iter().find_map(|(key, span)| Some((*key, (*span)?))))
        && !spoken_of(path, report)
    {
        let what = format!("`{key}` belongs to a source with `reflection`");
        let finding = Diagnostic::new(Rule::BadValue, span, what).help("write `reflection: BACKEND` beside it, or remove it");
        report.push(finding.path(format!("{path}.{key}")));
        return None;
    }
    match (&descriptor.proto, &descriptor.set, &descriptor.reflection) {
        (Some(folder), None, None) => Some((DescriptorSource::Proto { folder: file(folder), span: folder.span }, "proto")),
        (None, Some(set), None) => Some((DescriptorSource::Set { file: file(set), span: set.span }, "set")),
        (None, None, Some(backend)) => match &descriptor.lock {
            Some(lock) => Some((DescriptorSource::Lock { file: file(lock), span: lock.span }, "lock")),
            None if report.speaks_of(&format!("{path}.lock")) => None,
            None => {
                let help = format!("write `lock: {}.lock.binpb`, and run `protogate lock`", backend.as_str());
                report.push(missing(backend.span, "a source with `reflection` needs `lock`", help).path(path));
                None
            }
        },
        (None, None, None) if spoken_of(path, report) => None,
        (None, None, None) => {
            let help = "write `- proto: ../proto` for a folder, `- set: partner.binpb` for a descriptor set, or \
                        `- { reflection: BACKEND, lock: FILE }` for what a backend tells";
            report.push(missing(descriptor.span, "a descriptor source needs `proto`, `set` or `reflection`", help).path(path));
            None
        }
        (folder, set, backend) => {
            report.push(
                several(folder.as_ref().map(|it| it.span), set.as_ref().map(|it| it.span), backend.as_ref().map(|it| it.span)).path(path),
            );
            None
        }
    }
}

fn several(folder: Option<Span>, set: Option<Span>, backend: Option<Span>) -> Diagnostic {
    let named = [(folder, "the folder"), (set, "the set"), (backend, "the backend")];
    let mut named = named.into_iter().filter_map(|(span, what)| Some((span?, what)));
    let (first, what) = named.next().expect("whoever asks has seen two of them");
    let (second, _) = named.next().expect("whoever asks has seen two of them");
    Diagnostic::new(Rule::BadValue, second, "a descriptor source is a folder, a set or a backend, not several of them")
        .related(first, what)
        .help("make an entry of each")
}

fn spoken_of(path: &str, report: &Report) -> bool {
    KEYS.iter().any(|key| report.speaks_of(&format!("{path}.{key}")))
}

fn refresh(descriptor: &Descriptor, path: &str, report: &mut Report) -> Duration {
    let Some(written) = &descriptor.refresh else { return REFRESH };
    if written.0 < REFRESH_MIN {
        let finding = Diagnostic::new(Rule::BadValue, written.span, "`refresh` is shorter than a second");
        report.push(finding.help("write `1s` or more").path(format!("{path}.refresh")));
    }
    written.0.max(REFRESH_MIN)
}

/// The backend that can be asked.
fn asked(backend: &Spanned<Name>, path: &str, backends: &Backends, report: &mut Report) -> Option<usize> {
    let path = format!("{path}.reflection");
    let index = backends.find(backend, &path, report)?;
    if let SpecKind::Builtin(_) = backends.get(index).kind {
        let what = format!("`{}` is a service of this process, which nobody needs to ask", backend.as_str());
        let finding = Diagnostic::new(Rule::BadValue, backend.span, what);
        report.push(finding.help("name a backend with `grpc`; for services of this process write `- proto: ../proto`").path(path));
        return None;
    }
    Some(index)
}
