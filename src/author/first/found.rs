//! Reads descriptors: which services there are, and how a route file names where they come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{From, Refused, Wish};
use crate::backend::{Backend, Builtins, EndpointSpec, GrpcSpec, Spec, SpecKind};
use crate::config::value::EndpointUrl;
use crate::diagnostic::{Report, Sources, Span};
use crate::files::{Files, normal};
use crate::proto::{DescriptorSource, Pool, Pools, Service, Wanted};
use crate::reflection::{Bounds, COMMON, Unanswered, ask};

/// The name of the file that holds what a server told.
pub const LOCK: &str = "descriptors.lock.binpb";

/// What there is to route.
pub struct Found {
    pub services: Vec<Service>,
    pub place: Place,
}

/// What `descriptors:` will say.
pub enum Place {
    /// Paths from the folder of the route files.
    Folder(String),
    Set(String),
    /// The content of the lock.
    Lock(Vec<u8>),
}

/// Every service but those that say nothing of what a server is for.
pub fn find(wish: &Wish, pools: &Pools) -> Result<Found, Refused> {
    let (pool, place) = match &wish.from {
        From::Folder(folder) => {
            let place = Place::Folder(relative(folder, &wish.folder)?);
            (load(&Files::on_disk(), folder, |path, span| DescriptorSource::Proto { folder: path, span }, pools)?, place)
        }
        From::Set(file) => {
            let place = Place::Set(relative(file, &wish.folder)?);
            (load(&Files::on_disk(), file, |path, span| DescriptorSource::Set { file: path, span }, pools)?, place)
        }
        From::Server(url) => {
            let told = told(url)?;
            let files = Files::in_memory(&[]).with(LOCK, told.clone());
            (load(&files, Path::new(LOCK), |path, span| DescriptorSource::Lock { file: path, span }, pools)?, Place::Lock(told))
        }
    };
    let services = services(&pool);
    let has = |service: &Service| service.methods().iter().any(|method| wish.takes(method));
    let chosen: Vec<Service> = services.iter().filter(|service| has(service)).cloned().collect();
    match (services.is_empty(), chosen.is_empty()) {
        (true, _) => Err(Refused::Because("there is no service with a method in it, so there is nothing to route".to_owned())),
        (false, true) => Err(Refused::Because("every method in it is deprecated; `--deprecated` routes them all the same".to_owned())),
        (false, false) => Ok(Found { services: chosen, place }),
    }
}

/// Services that have something to call.
fn services(pool: &Pool) -> Vec<Service> {
    let services = pool.services().into_iter();
    services.filter(|service| !COMMON.contains(&service.full_name()) && !service.methods().is_empty()).collect()
}

/// Findings point at the path as it was typed.
fn load(files: &Files, path: &Path, source: impl Fn(PathBuf, Span) -> DescriptorSource, pools: &Pools) -> Result<Pool, Refused> {
    let (mut report, mut sources) = (Report::default(), Sources::default());
    let typed = sources.add("--from", format!("{}\n", path.display()));
    let span = Span { end: sources.file(typed).text.trim_end().len(), ..Span::start_of(typed) };
    let pool = pools.load(files, &[source(path.to_owned(), span)], &Wanted::everything(), &mut report, &mut sources).pool;
    if report.has_errors() { Err(Refused::Findings(Box::new((report, sources)))) } else { Ok(pool) }
}

/// What a server tells of itself, as a lock holds it.
fn told(url: &EndpointUrl) -> Result<Vec<u8>, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for some calls");
    let endpoint = EndpointSpec::new(url.host.clone(), url.port, url.tls);
    let spec = Spec { name: "server".into(), kind: SpecKind::Grpc(Box::new(GrpcSpec::at(vec![endpoint]))) };
    let backend = Backend::open(spec, 1, &Builtins::new(runtime.handle().clone()), None);
    let backend: Arc<Backend> = backend.map_err(|why| Refused::Server(Unanswered::Refused(why)))?;
    let told = runtime.block_on(ask(&backend, &[], &Bounds::default())).map_err(Refused::Server)?;
    Ok(told.encode())
}

/// How a file in `folder` writes `path`. A dollar with a brace would be a variable there, and what is not text cannot be written.
fn relative(path: &Path, folder: &Path) -> Result<String, Refused> {
    let cannot = |why: &str| Refused::Because(format!("`{}` {why}", path.display()));
    let absolute = |path: &Path| std::path::absolute(path).map(|path| normal(&path)).map_err(|error| cannot(&error.to_string()));
    let (to, from) = (absolute(path)?, absolute(folder)?);
    let shared = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| "..".into());
    let down = to.components().skip(shared).map(|part| part.as_os_str().to_owned());
    let parts: Option<Vec<String>> = up.chain(down).map(|part: std::ffi::OsString| part.into_string().ok()).collect();
    let text = parts.ok_or_else(|| cannot("is not text, and a route file is"))?.join("/");
    match () {
        () if text.contains("${") => Err(cannot("cannot be written in a route file: `${` begins a variable there")),
        () if text.is_empty() => Ok(".".to_owned()),
        () => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(to: &str, from: &str) -> String {
        relative(Path::new(to), Path::new(from)).unwrap_or_else(|_| "refused".to_owned())
    }

    #[test]
    fn a_path_is_written_from_the_folder_of_the_route_files() {
        assert_eq!(path("protos", "routes"), "../protos");
        assert_eq!(path("./a/../protos/x", "deep/routes"), "../../protos/x");
        assert_eq!(path("routes/protos", "routes"), "protos");
        assert_eq!(path("routes", "routes"), ".");
        assert_eq!(path("${var.x}", "routes"), "refused");
    }
}
