//! What the conversations are made of: a gateway on free ports, clients, and a service that tells what it was told.

pub mod client;
pub mod collector;
pub mod guard;
pub mod mirror;
pub mod nodes;
pub mod openmetrics;
pub mod player;
pub mod redis;
pub mod streams;
pub mod terminal;
pub mod walkthrough;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protogate::config::Environment;
use protogate::data::DataFolder;
use protogate::gateway::inherited::Inherited;
use protogate::gateway::{Gateway, Options, StartError};
use protogate::pipeline::signer::Signer;
use protogate::reload::{Inputs, Origin};
use protogate::table::compile::Context;
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must come. Only a test that fails waits so long, so that there is patience for a machine that is busy with
/// other things; what must not take long by its own promise says so itself.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway with a folder of its own. Ends when dropped.
pub struct TestGateway {
    gateway: Option<Gateway>,
    folder: TempDir,
    /// The operator's token, where the data folder has none.
    operator: Option<&'static str>,
}

/// The operator's token of gateways in production.
const OPERATOR: &str = "a token for the operators of tests";

/// Routes to the built-in echo, open to everybody; most conversations need no more.
pub const ECHO: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty] }
permissions: { roles: { player: { grant: [game.play] } } }
routes:
  9001: { name: echo, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous }
  9002: { name: echo.known, rpc: protogate.echo.v1.EchoService/Echo }
  9003: { name: echo.player, rpc: protogate.echo.v1.EchoService/Echo, permissions: [game.play] }
";

// === impl TestGateway ===

impl TestGateway {
    /// Starts on `routes.yaml` and little else. Files are not watched, so that a test which asks for a reload knows what that reload does.
    pub fn start(routes: &str) -> TestGateway {
        TestGateway::start_with(&[("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n"), ("routes/routes.yaml", routes)])
    }

    /// Starts on files below a fresh folder; `proto/` there holds the project's own.
    pub fn start_with(files: &[(&str, &str)]) -> TestGateway {
        TestGateway::start_in(folder_with(files))
    }

    /// Starts on what is in this folder.
    pub fn start_in(folder: TempDir) -> TestGateway {
        let gateway = Gateway::start(options(folder.path())).unwrap_or_else(|error| panic!("the gateway does not start: {}", told(error)));
        TestGateway { gateway: Some(gateway), folder, operator: None }
    }

    /// Starts in production, on routes, and on more in `gateway.yaml` than the operator's token.
    pub fn start_in_production(routes: &str, process: &str) -> TestGateway {
        let process = format!("version: 1\nadmin: {{ token: \"{OPERATOR}\" }}\n{process}\n");
        let folder = folder_with(&[("routes/gateway.yaml", &process), ("routes/routes.yaml", routes)]);
        let mut options = options(folder.path());
        options.inputs.environment = Environment::Production;
        let gateway = Gateway::start(options).unwrap_or_else(|error| panic!("the gateway does not start: {}", told(error)));
        TestGateway { gateway: Some(gateway), folder, operator: Some(OPERATOR) }
    }

    /// Starts on the shipped files, with more in `gateway.yaml`.
    pub fn start_shipped(process: &str) -> TestGateway {
        TestGateway::start_in(shipped_with(process))
    }

    /// Ends gently, and starts again in the same folder.
    pub async fn restart(&mut self) {
        let gateway = self.gateway.take().expect("it runs");
        let options = options(self.folder.path());
        let again = tokio::task::spawn_blocking(move || {
            gateway.stop();
            Gateway::start(options).unwrap_or_else(|error| panic!("the gateway does not start again: {}", told(error)))
        });
        self.gateway = Some(again.await.unwrap());
    }

    pub fn edge(&self) -> SocketAddr {
        self.gateway().edge_address()
    }

    pub fn admin(&self) -> SocketAddr {
        self.gateway().admin_address()
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("only `stop` takes it, and that consumes this")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a file, as an editor does: written beside, then renamed.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        let draft = path.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &path).unwrap();
    }

    /// A token of the development issuer.
    pub fn token(&self, user: &str, roles: &[&str]) -> String {
        self.token_for(Duration::from_secs(600), user, roles)
    }

    /// One that lives as long as `ttl`.
    pub fn token_for(&self, ttl: Duration, user: &str, roles: &[&str]) -> String {
        let key = DataFolder::at(self.folder.path().join("data")).read(protogate::data::DEVELOPMENT_KEY).unwrap();
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        Signer::from_pkcs8(&key).unwrap().issue_development(user, &roles, ttl)
    }

    pub fn admin_token(&self) -> String {
        if let Some(token) = self.operator {
            return token.to_owned();
        }
        DataFolder::at(self.folder.path().join("data")).admin_token().unwrap()
    }

    /// Ends gently, as SIGTERM does.
    pub async fn stop(mut self) {
        let gateway = self.gateway.take().expect("taken once");
        tokio::task::spawn_blocking(move || gateway.stop()).await.unwrap();
    }
}

/// What to start a gateway in `folder` with: free ports, and no log of its own.
pub fn options(folder: &Path) -> Options {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let context = Context { listen: Some(any), admin: Some(any), ..Context::default() };
    let inputs = Inputs {
        origin: Origin::Folder(folder.join("routes")),
        environment: Environment::Development,
        variables: Box::new(|name| std::env::var(name).ok()),
        context,
    };
    Options { inputs, data: DataFolder::at(folder.join("data")), ready_file: None, own_process: false, inherited: Inherited::default() }
}

/// A fresh folder with these files and a copy of the project's `proto/`.
pub fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&top().join("proto"), &folder.path().join("proto"));
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The shipped route file and the groups it includes: path and text, in the order of their names.
pub fn shipped_routes() -> Vec<(String, String)> {
    let names = fs::read_dir(top().join("routes")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".yaml") && !name.starts_with("gateway.")).collect();
    names.sort();
    names.into_iter().map(|name| (format!("routes/{name}"), fs::read_to_string(top().join("routes").join(&name)).unwrap())).collect()
}

/// A fresh folder with the shipped routes, and this in `gateway.yaml`.
pub fn shipped_with(process: &str) -> TempDir {
    let gateway = format!("version: 1\nreload: {{ watch: false }}\n{process}\n");
    let routes = shipped_routes();
    let routes = routes.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    folder_with(&routes.chain([("routes/gateway.yaml", gateway.as_str())]).collect::<Vec<_>>())
}

/// The project's top folder.
pub fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn told(error: StartError) -> String {
    match error {
        StartError::Configuration(checked) => {
            protogate::diagnostic::render::human(&checked.report, &checked.sources, protogate::diagnostic::render::Color::Plain)
        }
        StartError::Io { what, error } => format!("{what}: {error}"),
    }
}

/// One request to the admin side: status, and the JSON it answered.
pub async fn admin_request(gateway: &TestGateway, head: &str) -> (u16, Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(gateway.admin()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A request of the operator: `POST` with a body, else `GET`.
pub async fn operator(gateway: &TestGateway, path: &str, body: Option<&str>) -> (u16, Value) {
    let (method, body) = (if body.is_some() { "POST" } else { "GET" }, body.unwrap_or_default());
    let (token, length) = (gateway.admin_token(), body.len());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    admin_request(gateway, &head).await
}

/// `POST /api/v1/reload` as the operator.
pub async fn reload(gateway: &TestGateway) -> (u16, Value) {
    operator(gateway, "/api/v1/reload", Some("{}")).await
}
