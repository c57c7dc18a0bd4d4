//! What `examples/deploy` shows holds together: its configurations are fit for production, what its files name exists and agrees, and the
//! program starts as the container starts it, is healthy, and takes up a ConfigMap that the kubelet swaps, without losing a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::TestClient;
use crate::support::redis::RedisServer;
use crate::support::walkthrough::wait_for;
use crate::support::{PATIENCE, copy, top};

const TOKEN: &str = "a token of at least sixteen characters";

/// Longest drain, by the gateway's promise.
const DRAIN_SECONDS: u64 = 30;

fn example(name: &str) -> PathBuf {
    top().join("examples/deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(example(name)).unwrap_or_else(|error| panic!("examples/deploy/{name}: {error}"))
}

/// The documents of a YAML file.
fn yaml(name: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(&read(name)).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().map(|items| items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()).unwrap_or_default()
}

/// `/etc/protogate` with these route files: the types, a key that signs, and a certificate.
fn etc(routes: impl FnOnce(&Path)) -> TempDir {
    let etc = tempfile::tempdir().unwrap();
    copy(&top().join("proto"), &etc.path().join("proto"));
    fs::create_dir_all(etc.path().join("keys")).unwrap();
    fs::create_dir_all(etc.path().join("tls")).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    fs::write(etc.path().join("keys/signing.pem"), key.serialize_pem()).unwrap();
    let seen = rcgen::generate_simple_self_signed(["play.example.com".to_owned()]).unwrap();
    fs::write(etc.path().join("tls/cert.pem"), seen.cert.pem()).unwrap();
    fs::write(etc.path().join("tls/key.pem"), seen.signing_key.serialize_pem()).unwrap();
    routes(&etc.path().join("routes"));
    etc
}

fn check(etc: &TempDir, variables: &[(&str, &str)]) -> Output {
    let mut check = Command::new(env!("CARGO_BIN_EXE_protogate"));
    check.arg("check").arg("--config").arg(etc.path().join("routes")).args(["--env", "production", "--deny-warnings"]);
    check.envs(variables.iter().copied()).env_remove("GATEWAY_MODE").output().unwrap()
}

/// The names of the variables in the environment that a configuration must be given.
fn needed(gateway: &Value) -> BTreeSet<String> {
    let needed = gateway["vars"].as_object().unwrap().values().filter(|variable| variable["default"].is_null());
    needed.map(|variable| variable["env"].as_str().unwrap().to_owned()).collect()
}

/// The words of the Dockerfile's lines that begin with `instruction`, and no flag; continued lines are one.
fn instructions(instruction: &str) -> Vec<String> {
    let joined = read("Dockerfile").replace("\\\n", " ");
    joined.lines().filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' ').map(str::to_owned)).collect()
}

/// What the container starts: the program and its arguments.
fn command_line() -> Vec<String> {
    let list = |instruction: &str| -> Vec<String> { serde_json::from_str(&instructions(instruction)[0]).unwrap() };
    [list("ENTRYPOINT"), list("CMD")].concat()
}

/// The value of an option, written `--name value` or `--name=value`.
fn option(arguments: &[String], name: &str) -> String {
    let at = arguments.iter().position(|argument| argument.split('=').next() == Some(name)).unwrap_or_else(|| panic!("no {name}"));
    arguments[at].split_once('=').map_or_else(|| arguments[at + 1].clone(), |(_, value)| value.to_owned())
}

fn port(address: &str) -> u64 {
    u64::from(address.parse::<SocketAddr>().unwrap().port())
}

#[test]
fn the_configuration_of_gateways_in_containers_is_fit_for_production() {
    let etc = etc(|routes| copy(&example("routes"), routes));
    let variables = [("ADMIN_TOKEN", TOKEN), ("REDIS_URL", "redis://redis:6379/0"), ("TRUSTED_PROXY", "172.30.70.0/24")];
    let checked = check(&etc, &variables);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let without = String::from_utf8(check(&etc, &[]).stdout).unwrap();
    for name in needed(&yaml("routes/gateway.yaml")[0]) {
        assert!(without.contains(&format!("`{name}` is not set")), "{without}");
    }
}

#[test]
fn the_configuration_of_a_gateway_under_systemd_is_fit_for_production() {
    let etc = etc(|routes| {
        copy(&top().join("routes"), routes);
        fs::copy(example("systemd/gateway.yaml"), routes.join("gateway.yaml")).unwrap();
    });
    let checked = check(&etc, &[("ADMIN_TOKEN", TOKEN)]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(needed(&yaml("systemd/gateway.yaml")[0]), ["ADMIN_TOKEN".to_owned()].into(), "what the guide writes into the environment");
}

#[test]
fn the_image_is_made_of_what_is_there() {
    let ignore = read("Dockerfile.dockerignore");
    let admitted: BTreeSet<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let mut copied = BTreeSet::new();
    for copy in instructions("COPY").iter().filter(|copy| !copy.starts_with("--from")) {
        let words: Vec<&str> = copy.split_whitespace().collect();
        copied.extend(words[..words.len() - 1].iter().map(|word| (*word).to_owned()));
    }
    assert_eq!(copied.iter().map(String::as_str).collect::<BTreeSet<_>>(), admitted, "what is copied is what docker is sent");
    for name in &copied {
        assert!(top().join(name).exists(), "{name}");
    }
    // The sources include nothing from elsewhere.
    assert!(
        copied.contains("docs/diagnostics")
            && copied.contains("src")
            && copied.contains("proto")
            && copied.contains("routes")
            && copied.contains("build.rs")
    );

    let from = instructions("FROM");
    let manifest = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert_eq!(from[0], format!("rust:{version}-bookworm AS build"), "the compiler is the one that Cargo.toml asks for");
    assert!(manifest.contains("[profile.dist]"));
    // Cargo reads no manifest whose benches it cannot see.
    for bench in manifest.split("[[bench]]").skip(1) {
        let name = bench.split('"').nth(1).unwrap();
        assert!(copied.contains("benches") && top().join(format!("benches/{name}.rs")).exists(), "{name}");
    }
    let user = &instructions("USER")[0];
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "a number, and not root's: {user}");
    let exposed: Vec<u64> = instructions("EXPOSE")[0].split(' ').map(|port| port.parse().unwrap()).collect();
    let command = command_line();
    assert_eq!(exposed, [port(&option(&command, "--listen")), port(&option(&command, "--admin"))]);
}

/// The routes of `examples/deploy` as the kubelet mounts a ConfigMap: every file is a link into `..data`, which is one itself.
struct ConfigMap {
    folder: PathBuf,
    version: u32,
}

impl ConfigMap {
    fn mount(folder: &Path, files: &BTreeMap<String, String>) -> ConfigMap {
        fs::create_dir_all(folder).unwrap();
        let mut mounted = ConfigMap { folder: folder.to_owned(), version: 0 };
        mounted.write(files);
        for name in files.keys() {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
        mounted
    }

    /// Written beside, swapped by one rename, and what was before it removed.
    fn write(&mut self, files: &BTreeMap<String, String>) {
        let before = self.folder.join(format!("..2026_11_29_{}", self.version));
        self.version += 1;
        let version = format!("..2026_11_29_{}", self.version);
        fs::create_dir(self.folder.join(&version)).unwrap();
        for (name, text) in files {
            fs::write(self.folder.join(&version).join(name), text).unwrap();
        }
        symlink(&version, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if self.version > 1 {
            fs::remove_dir_all(before).unwrap();
        }
    }
}

/// A process that ends with the test.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_container_is_healthy_and_takes_up_a_changed_configmap_without_losing_a_connection() {
    let redis = RedisServer::start();
    let mut files: BTreeMap<String, String> =
        ["gateway.yaml", "routes.yaml"].map(|name| (name.to_owned(), read(&format!("routes/{name}")))).into();
    let mut mounted = None;
    let etc = etc(|routes| mounted = Some(ConfigMap::mount(routes, &files)));
    let mut mounted = mounted.expect("it was just mounted");

    // As the image says, but in a folder of the test and on free ports.
    let data = tempfile::tempdir().unwrap();
    let ready = data.path().join("ready.json");
    let place = |argument: &String| {
        let argument = argument.replace("/etc/protogate", &etc.path().to_string_lossy());
        let argument = argument.replace("/var/lib/protogate", &data.path().to_string_lossy());
        argument.replace("0.0.0.0:7080", "127.0.0.1:0").replace("0.0.0.0:7081", "127.0.0.1:0")
    };
    let command = command_line();
    assert!(command[0].ends_with("/protogate"));
    let log = data.path().join("log");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_protogate"));
    serve.args(command[1..].iter().map(place)).arg("--ready-file").arg(&ready).current_dir(data.path());
    let environment = instructions("ENV");
    serve.envs(environment.iter().map(|line| line.split_once('=').unwrap()));
    serve.env("ADMIN_TOKEN", TOKEN).env("REDIS_URL", redis.url()).stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut container = Container(serve.spawn().unwrap());
    let said = || fs::read_to_string(&log).unwrap();
    wait_for("the gateway is ready", || {
        assert!(container.0.try_wait().unwrap().is_none(), "it ended:\n{}", said());
        ready.exists()
    });
    let addresses: Value = serde_json::from_str(&fs::read_to_string(&ready).unwrap()).unwrap();
    let (edge, admin): (SocketAddr, SocketAddr) =
        (addresses["edge"].as_str().unwrap().parse().unwrap(), addresses["admin"].as_str().unwrap().parse().unwrap());

    // Docker asks by what stands in the image.
    let health = instructions("HEALTHCHECK").remove(0);
    let health: Vec<String> = serde_json::from_str(health.split_once("CMD ").unwrap().1).unwrap();
    let asks = |port: u16| {
        let words: Vec<String> = health.iter().map(|word| word.replace("/127.0.0.1/7081", &format!("/127.0.0.1/{port}"))).collect();
        assert_ne!(words, health, "it asks the admin side");
        Command::new(&words[0]).args(&words[1..]).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(asks(admin.port()));

    // Somebody is connected, and logged in.
    let mut client = TestClient::connect(edge).await;
    let alice = json!({ "username": "alice", "password": "correct horse", "email": "alice@example.com" });
    assert!(client.call(1002, alice).await["status"].is_null());
    assert_eq!(client.echo(9001, "before").await, "before");

    let routes = files["routes.yaml"].clone();
    assert!(routes.contains("  9001:\n"));
    let also = |numbers: &[u32]| {
        let more = numbers.iter().map(|number| {
            format!("  {number}: {{ name: echo{number}, rpc: protogate.echo.v1.EchoService/Echo, backend: echo, access: anonymous }}\n")
        });
        routes.replace("  9001:\n", &format!("{}  9001:\n", more.collect::<String>()))
    };
    files.insert("routes.yaml".to_owned(), also(&[9002]));
    mounted.write(&files);
    until(|| said().contains("reloaded"), &log).await;
    assert_eq!(client.echo(9002, "after").await, "after");

    // One that cannot be used changes nothing, nor does one that takes away what clients call; and the next one counts.
    files.insert("routes.yaml".to_owned(), also(&[9002]).replace("backend: echo", "backend: ecko"));
    mounted.write(&files);
    until(|| said().contains("reload refused"), &log).await;
    files.insert("routes.yaml".to_owned(), also(&[9003]));
    mounted.write(&files);
    until(|| said().contains("it would break clients"), &log).await;
    assert_eq!(client.echo(9002, "still").await, "still");
    files.insert("routes.yaml".to_owned(), also(&[9002, 9003]));
    mounted.write(&files);
    until(|| said().matches("\"reloaded\"").count() == 2, &log).await;
    assert_eq!(client.echo(9003, "again").await, "again");

    assert!(Command::new("kill").args(["-TERM", &container.0.id().to_string()]).status().unwrap().success());
    tokio::task::block_in_place(|| assert!(container.0.wait().unwrap().success(), "it ends well:\n{}", said()));
    assert!(!asks(admin.port()), "what is gone is not healthy");
}

/// Waits on the test's own clock, so that its client stays served.
async fn until(so: impl Fn() -> bool, log: &Path) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "not in time:\n{}", fs::read_to_string(log).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn the_manifests_agree_with_one_another_and_with_the_image() {
    let kustomization = yaml("kustomization.yaml").remove(0);
    let listed: BTreeSet<String> = texts(&kustomization["resources"]).into_iter().collect();
    let there = fs::read_dir(example("kubernetes")).unwrap().map(|entry| format!("kubernetes/{}", entry.unwrap().file_name().display()));
    assert_eq!(listed, there.collect(), "every manifest is applied");
    let map = &kustomization["configMapGenerator"][0];
    let shown = fs::read_dir(example("routes")).unwrap().map(|entry| format!("routes/{}", entry.unwrap().file_name().display()));
    assert_eq!(texts(&map["files"]).into_iter().collect::<BTreeSet<_>>(), shown.collect(), "every route file is in the ConfigMap");
    assert_eq!(kustomization["generatorOptions"]["disableNameSuffixHash"], true, "a change is a reload and no new Deployment");

    let manifests: Vec<Value> = listed.iter().flat_map(|name| yaml(name)).collect();
    let of_kind = |kind: &str| manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let deployment = &of_kind("Deployment")["spec"];
    let (pod, labels) = (&deployment["template"]["spec"], &deployment["template"]["metadata"]["labels"]);
    let container = &pod["containers"][0];
    for selector in [
        &deployment["selector"]["matchLabels"],
        &of_kind("Service")["spec"]["selector"],
        &of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        &of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels, "all speak of the same pods");
    }

    // The command line is the image's, and its ports are the container's.
    let arguments = texts(&container["args"]);
    let image = command_line();
    for name in ["--config", "--data", "--listen", "--admin"] {
        assert_eq!(option(&arguments, name), option(&image, name), "{name}");
    }
    let ports: BTreeMap<&str, u64> = container["ports"].as_array().unwrap().iter().map(named_port).collect();
    assert_eq!(ports, BTreeMap::from([("edge", port(&option(&image, "--listen"))), ("admin", port(&option(&image, "--admin")))]));
    for (probe, path) in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")] {
        assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "admin" }), "{probe}");
    }
    assert_eq!(of_kind("Service")["spec"]["ports"][0]["targetPort"], "edge", "the admin side has no Service");
    let let_in = of_kind("NetworkPolicy")["spec"]["ingress"].as_array().unwrap();
    for rule in let_in {
        let name = rule["ports"][0]["port"].as_str().unwrap();
        assert!(ports.contains_key(name));
        assert_eq!(rule["from"].is_null(), name == "edge", "anybody reaches the edge, and only who is named the admin side");
    }

    // What is mounted is where the command line and gateway.yaml look for it.
    let volumes: BTreeMap<&str, &Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| (volume["name"].as_str().unwrap(), volume)).collect();
    let mounts: BTreeMap<&str, &Value> =
        container["volumeMounts"].as_array().unwrap().iter().map(|mount| (mount["name"].as_str().unwrap(), mount)).collect();
    assert_eq!(volumes.keys().collect::<Vec<_>>(), mounts.keys().collect::<Vec<_>>());
    assert!(mounts.values().all(|mount| mount["subPath"].is_null()), "what is mounted by `subPath` never changes");
    assert_eq!(mounts["routes"]["mountPath"], option(&image, "--config"));
    assert_eq!(volumes["routes"]["configMap"]["name"], map["name"]);
    let data = Path::new(mounts["data"]["mountPath"].as_str().unwrap()).to_owned();
    assert_eq!(Path::new(&option(&image, "--data")).parent(), Some(&*data), "a folder in the volume, which the gateway makes for itself");
    let gateway = yaml("routes/gateway.yaml").remove(0);
    let key = gateway["auth"]["signing"]["key"].as_str().unwrap().strip_prefix("../keys/").expect("it is in keys/");
    assert_eq!(mounts["keys"]["mountPath"], "/etc/protogate/keys");
    assert_eq!(volumes["keys"]["secret"]["items"], json!([{ "key": key, "path": key }]));
    let given: BTreeSet<String> =
        container["env"].as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap().to_owned()).collect();
    assert!(given.is_superset(&needed(&gateway)), "{given:?}");
    assert!(given.contains("GATEWAY_MODE"));
    assert_eq!(gateway["reload"]["watch"], true, "a ConfigMap that changes is noticed");

    // Hardened, and left alone for as long as it drains.
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > DRAIN_SECONDS);
    assert!(container["lifecycle"].is_null(), "the drain has a grace of its own");
    assert_eq!(pod["securityContext"]["runAsUser"].to_string(), instructions("USER")[0].split(':').next().unwrap());
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert!(of_kind("PodDisruptionBudget")["spec"]["maxUnavailable"].as_u64().unwrap() < deployment["replicas"].as_u64().unwrap());
}

fn named_port(port: &Value) -> (&str, u64) {
    (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap())
}

#[test]
fn the_compose_file_agrees_with_its_balancer_and_with_the_image() {
    let compose = yaml("compose.yaml").remove(0);
    let services = compose["services"].as_object().unwrap();
    let gateways: BTreeSet<&str> = services.keys().map(String::as_str).filter(|name| name.starts_with("gateway")).collect();
    assert_eq!(gateways.len(), 3);
    let image = command_line();
    let (edge, admin) = (port(&option(&image, "--listen")), port(&option(&image, "--admin")));
    for name in &gateways {
        let gateway = &services[*name];
        let given: BTreeSet<String> = gateway["environment"].as_object().unwrap().keys().cloned().collect();
        assert!(given.is_superset(&needed(&yaml("routes/gateway.yaml")[0])), "{given:?}");
        let grace: u64 = gateway["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
        assert!(grace > DRAIN_SECONDS);
        assert!(gateway["ports"].is_null(), "clients come by the balancer, and nobody from outside to the admin side");
        for volume in texts(&gateway["volumes"]) {
            let (from, to) = volume.split_once(':').unwrap();
            assert!(from == "./keys" || example(from).exists(), "{from}");
            assert!(to.starts_with("/etc/protogate/") && to.ends_with(":ro"), "{to}");
        }
        let subnet = &compose["networks"]["inside"]["ipam"]["config"][0]["subnet"];
        assert_eq!(&gateway["environment"]["TRUSTED_PROXY"], subnet, "the balancer's word is believed, and nobody else's");
        assert!(gateway["depends_on"].as_object().unwrap().keys().all(|other| services.contains_key(other)));
        let build = &gateway["build"];
        assert!(example(build["context"].as_str().unwrap()).join(build["dockerfile"].as_str().unwrap()).exists());
    }
    let balancer = read("haproxy.cfg");
    let servers: BTreeSet<&str> = balancer.lines().filter_map(|line| line.trim().strip_prefix("server ")).collect();
    let expected: Vec<String> = gateways.iter().map(|name| format!("{name} {name}:{edge}")).collect();
    assert_eq!(servers, expected.iter().map(String::as_str).collect());
    assert!(
        balancer.contains(&format!("check port {admin} ")) && balancer.contains("uri /readyz") && balancer.contains("hdr Host localhost")
    );
    assert!(balancer.contains("option forwardfor") && balancer.contains("timeout tunnel"), "it says who a client is, and is patient");
    assert_eq!(texts(&services["balancer"]["ports"]), [format!("127.0.0.1:{edge}:{edge}")]);
}

/// A unit's `key=value` lines; what a key says twice is a list.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in read(name).lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        keys.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    keys
}

#[test]
fn the_units_agree_with_one_another_and_with_the_program() {
    let (service, socket) = (unit("systemd/protogate.service"), unit("systemd/protogate.socket"));
    assert_eq!(service["Requires"], ["protogate.socket"]);
    assert!(service["After"][0].contains("protogate.socket"));
    assert_eq!(socket["FileDescriptorName"], ["edge"], "the name by which the gateway takes it");
    let listens = yaml("systemd/gateway.yaml")[0]["listen"]["address"].as_str().unwrap().to_owned();
    assert_eq!(socket["ListenStream"], [port(&listens).to_string()], "by hand or by systemd, it is the same port");

    // The program understands its command line; a folder that is not there is what it says next.
    let words: Vec<&str> = service["ExecStart"][0].split(' ').collect();
    assert_eq!(words[..2], ["/usr/local/bin/protogate", "serve"]);
    let elsewhere = |word: &&str| word.replace("/etc/protogate", "/nowhere/protogate");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_protogate"));
    let started = serve.args(words[1..].iter().map(elsewhere)).env("GATEWAY_MODE", "production").output().unwrap();
    assert_eq!(started.status.code(), Some(66), "{}", String::from_utf8_lossy(&started.stderr));

    // A reload is asked of the gateway that runs, by the same files, and says what came of it.
    let reload: Vec<&str> = service["ExecReload"][0].split(' ').collect();
    assert_eq!(reload, ["/usr/local/bin/protogate", "reload", "--config", words[3]]);
    let stop: u64 = service["TimeoutStopSec"][0].trim_end_matches('s').parse().unwrap();
    assert!(stop > DRAIN_SECONDS, "systemd waits for longer than a drain may take");
    assert_eq!(service["Environment"], ["GATEWAY_MODE=production"]);
    let data = option(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), "--data");
    assert_eq!(data, format!("/var/lib/{}", service["StateDirectory"][0]), "it may write where its data is, and nowhere else");
    assert_eq!(service["StateDirectoryMode"], ["0700"], "the gateway believes no folder that others can write to");
    let user = &service["User"][0];
    assert!(read("systemd/protogate.sysusers.conf").lines().any(|line| line.starts_with(&format!("u {user} "))));
    for hardening in
        ["NoNewPrivileges", "MemoryDenyWriteExecute", "PrivateDevices", "ProtectHome", "ProtectKernelTunables", "RestrictNamespaces"]
    {
        assert_eq!(service[hardening], ["yes"], "{hardening}");
    }
    assert_eq!(service["ProtectSystem"], ["strict"]);
    assert_eq!(service["CapabilityBoundingSet"], [""]);
}
