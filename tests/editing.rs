//! What people and pipelines do with route files before a gateway has them: laid out, watched, completed by editors, checked before a commit.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_yaml::Value;
use tempfile::TempDir;

use crate::support::walkthrough::{Reader, Step, steps, wait_for};
use crate::support::{ECHO, copy, folder_with, top};

fn protogate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").env_remove("GITHUB_WORKSPACE").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The shipped files in a folder of their own.
fn shipped() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["routes", "proto"] {
        copy(&top().join(name), &folder.path().join(name));
    }
    folder
}

#[test]
fn what_is_shipped_and_every_example_is_laid_out() {
    let paths =
        ["routes", "examples/greeter/routes", "examples/policy/routes", "examples/deploy/routes", "examples/deploy/systemd/gateway.yaml"];
    let output = protogate(&top(), &[&["fmt", "--check"], paths.as_slice()].concat());
    assert_eq!((code(&output), text(&output.stdout)), (0, String::new()), "{}", text(&output.stderr));
}

#[test]
fn fmt_lays_out_a_folder_and_leaves_what_is_broken_or_elsewhere() {
    let folder = folder_with(&[
        ("routes/routes.yaml", "version:   1\ninclude: [a.yaml, ../shared.yaml]\n"),
        ("routes/a.yaml", "routes:\n    # one\n    1001: {name: a,rpc: a.B/C}\n"),
        ("routes/gateway.yaml", "version: 1\nlisten: {\n"),
        ("routes/gateway.testing.yaml", "origins:   []\n"),
        ("routes/a.test.yaml", "a:    1\n"),
        ("routes/other.yaml", "a:    1\n"),
        ("shared.yaml", "routes:   {}\n"),
    ]);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    fs::set_permissions(folder.path().join("routes/a.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::rename(folder.path().join("routes/gateway.testing.yaml"), folder.path().join("real.yaml")).unwrap();
    symlink("../real.yaml", folder.path().join("routes/gateway.testing.yaml")).unwrap();

    let looked = protogate(folder.path(), &["fmt", "--check"]);
    let changed = "routes/a.test.yaml\nroutes/a.yaml\nroutes/gateway.testing.yaml\nroutes/routes.yaml\n";
    assert_eq!((code(&looked), text(&looked.stdout)), (1, changed.to_owned()), "{}", text(&looked.stderr));
    assert_eq!(read("real.yaml"), "origins:   []\n", "--check writes nothing");

    let done = protogate(folder.path(), &["fmt"]);
    assert_eq!((code(&done), text(&done.stdout)), (1, changed.to_owned()), "one is broken");
    let said = text(&done.stderr);
    assert!(said.contains("error[PG002]") && said.contains("routes/gateway.yaml:") && said.contains("fmt: 4 of 5 files changed"), "{said}");
    assert_eq!(read("routes/gateway.yaml"), "version: 1\nlisten: {\n");
    assert_eq!(read("routes/a.yaml"), "routes:\n  # one\n  1001: { name: a, rpc: a.B/C }\n");
    assert_eq!(fs::metadata(folder.path().join("routes/a.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(folder.path().join("routes/gateway.testing.yaml")).unwrap().is_symlink());
    assert_eq!(read("real.yaml"), "origins: []\n", "behind the link");
    assert_eq!((read("routes/other.yaml"), read("shared.yaml")), ("a:    1\n".to_owned(), "routes:   {}\n".to_owned()));

    fs::write(folder.path().join("routes/gateway.yaml"), "version: 1\n").unwrap();
    let again = protogate(folder.path(), &["fmt"]);
    assert_eq!((code(&again), text(&again.stdout)), (0, String::new()));
    assert_eq!(code(&protogate(folder.path(), &["fmt", "shared.yaml"])), 0);
    assert_eq!(read("shared.yaml"), "routes: {}\n", "named, it is laid out");
    assert_eq!(code(&protogate(folder.path(), &["fmt", "nowhere.yaml"])), 66);
    assert_eq!(code(&protogate(folder.path(), &["fmt", "."])), 66, "no configuration");
    #[cfg(unix)]
    assert_eq!(code(&protogate(folder.path(), &["fmt", "--check", "/dev/zero"])), 66, "it has no end");
    assert!(
        fs::read_dir(folder.path().join("routes")).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.'))
    );
}

#[test]
fn fmt_reads_a_buffer_of_an_editor() {
    let folder = tempfile::tempdir().unwrap();
    let run = |given: &str, arguments: &[&str]| {
        fs::write(folder.path().join("buffer"), given).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.arg("fmt").args(arguments).stdin(File::open(folder.path().join("buffer")).unwrap()).output().unwrap()
    };
    let output = run("a:   {b: 1}\n", &["-"]);
    assert_eq!((code(&output), text(&output.stdout)), (0, "a: { b: 1 }\n".to_owned()));
    assert_eq!(code(&run("a:   1\n", &["--check", "-"])), 1);
    let broken = run("a: [\n", &["-"]);
    assert_eq!((code(&broken), text(&broken.stdout)), (1, String::new()));
    assert!(text(&broken.stderr).contains("error[PG002]"));
}

/// `protogate check --watch`, whose output goes into files.
struct Watching {
    child: Child,
    folder: PathBuf,
}

impl Watching {
    fn start(folder: &Path, arguments: &[&str]) -> Watching {
        let file = |name: &str| Stdio::from(File::create(folder.join(name)).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["check", "--watch"]).args(arguments).current_dir(folder).env_remove("GATEWAY_MODE");
        Watching { child: command.stdout(file("out")).stderr(file("err")).spawn().unwrap(), folder: folder.to_owned() }
    }

    fn out(&self) -> String {
        fs::read_to_string(self.folder.join("out")).unwrap()
    }

    fn err(&self) -> String {
        fs::read_to_string(self.folder.join("err")).unwrap()
    }

    /// How many checks were said.
    fn checks(&self) -> usize {
        self.out().lines().filter(|line| line.starts_with("check: ")).count()
    }

    fn wait(&self, count: usize, last: &str) {
        wait_for(&format!("check {count} says `{last}`"), || self.checks() == count && self.out().trim_end().ends_with(last));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn check_watches_until_it_is_interrupted() {
    let folder = folder_with(&[]);
    let routes = folder.path().join("routes");
    fs::create_dir_all(&routes).unwrap();
    // As Kubernetes does it: what is named is a link to a link.
    for (name, routes) in [("one", ECHO.to_owned()), ("two", ECHO.replace("backend: echo,", "backend: ecko,"))] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("routes.yaml"), routes).unwrap();
    }
    symlink("../one", routes.join("..data")).unwrap();
    symlink("..data/routes.yaml", routes.join("routes.yaml")).unwrap();
    let mut watching = Watching::start(folder.path(), &[]);
    watching.wait(1, "check: 0 errors, 0 warnings, 3 routes, 1 file");

    symlink("../two", routes.join("..new")).unwrap();
    fs::rename(routes.join("..new"), routes.join("..data")).unwrap();
    watching.wait(2, "check: 1 error, 0 warnings, 3 routes, 1 file");
    assert!(watching.out().contains("did you mean `echo`?"));

    // As editors do it; and the same again is nothing new.
    let draft = folder.path().join("draft");
    for _ in 0..2 {
        fs::write(&draft, ECHO).unwrap();
        fs::rename(&draft, folder.path().join("two/routes.yaml")).unwrap();
        watching.wait(3, "check: 0 errors, 0 warnings, 3 routes, 1 file");
    }
    // A file that was looked for and was not there.
    fs::write(routes.join("gateway.yaml"), "version: 1\nlisten: { prot: 1 }\n").unwrap();
    watching.wait(4, "check: 1 error, 0 warnings, 3 routes, 2 files");

    assert!(!watching.out().contains('\x1b'), "nothing is cleared or coloured where nobody looks");
    assert_eq!(
        watching.err().lines().filter(|line| line.starts_with("-- changed at ") && line.ends_with(" UTC")).count(),
        3,
        "{}",
        watching.err()
    );
    let id = rustix::process::Pid::from_child(&watching.child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(watching.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_reads_one_document_after_the_other_while_files_are_watched() {
    let folder = folder_with(&[("routes/routes.yaml", ECHO)]);
    let watching = Watching::start(folder.path(), &["--format", "json"]);
    wait_for("the first check", || watching.out().lines().count() == 1);
    fs::write(folder.path().join("routes/routes.yaml"), ECHO.replace("rpc:", "rcp:")).unwrap();
    wait_for("the second", || watching.out().lines().count() == 2);
    let errors: Vec<u64> = watching
        .out()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["summary"]["errors"].as_u64().unwrap())
        .collect();
    assert!(errors[0] == 0 && errors[1] > 0, "{errors:?}");
}

#[test]
fn paths_start_from_the_top_of_the_repository() {
    let folder =
        folder_with(&[("sub/routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: ecko,").replace("../proto", "../../proto"))]);
    let github = |here: &str, config: &str, workspace: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command
            .args(["check", "--format", "github", "--config", config])
            .current_dir(folder.path().join(here))
            .env_remove("GITHUB_WORKSPACE");
        let output = command.envs(workspace.map(|path| ("GITHUB_WORKSPACE", path))).output().unwrap();
        text(&output.stdout).split(",line=").next().unwrap().to_owned()
    };
    assert_eq!(github(".", "sub/routes", Some(folder.path())), "::error file=sub/routes/routes.yaml");
    assert_eq!(github("sub", "routes", Some(folder.path())), "::error file=sub/routes/routes.yaml");
    assert_eq!(github("sub", "routes", None), "::error file=routes/routes.yaml", "no repository at all");
    fs::create_dir(folder.path().join(".git")).unwrap();
    assert_eq!(github("sub/routes", ".", None), "::error file=sub/routes/routes.yaml");
    let sarif = protogate(&folder.path().join("sub"), &["check", "--format", "sarif"]);
    let log: serde_json::Value = serde_json::from_slice(&sarif.stdout).unwrap();
    let artifact = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(*artifact, serde_json::json!({"uri": "sub/routes/routes.yaml", "uriBaseId": "%SRCROOT%"}));
}

#[test]
fn schema_prints_what_is_in_the_folder_of_schemas() {
    let folder = shipped();
    for kind in ["routes", "group", "gateway", "routes-overlay", "gateway-overlay", "test"] {
        let printed = text(&protogate(folder.path(), &["schema", kind]).stdout);
        assert_eq!(printed, fs::read_to_string(top().join(format!("schemas/{kind}.schema.json"))).unwrap());
    }
    assert_eq!(code(&protogate(folder.path(), &["schema", "route"])), 64);
    assert_eq!(code(&protogate(folder.path(), &["schema", "--write", "here"])), 0);
    assert_eq!(fs::read_dir(folder.path().join("here")).unwrap().count(), 6);
}

#[test]
fn a_schema_of_ones_own_knows_the_names_and_takes_what_check_takes() {
    let folder = shipped();
    let schema = |kind: &str| -> serde_json::Value {
        let output = protogate(folder.path(), &["schema", kind, "--with-descriptors"]);
        assert_eq!((code(&output), text(&output.stderr)), (0, String::new()));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let valid = |schema: &serde_json::Value, text: &str| {
        let file = protogate::config::schema::plain(text).unwrap();
        let schema = jsonschema::validator_for(schema).unwrap();
        let problems: Vec<String> = schema.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path())).collect();
        (problems.is_empty(), problems)
    };
    let (routes, group) = (schema("routes"), schema("group"));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(valid(&routes, &read("routes/routes.yaml")), (true, vec![]));
    for name in ["auth", "game", "chat", "notify"] {
        assert_eq!(valid(&group, &read(&format!("routes/{name}.yaml"))), (true, vec![]), "{name}");
    }
    assert_eq!(valid(&schema("gateway"), &read("routes/gateway.yaml")), (true, vec![]));

    let methods = &routes["$defs"]["known_methods"];
    let at = methods["enum"].as_array().unwrap().iter().position(|name| name == "protogate.echo.v1.EchoService/Echo").unwrap();
    assert!(!methods["enumDescriptions"][at].as_str().unwrap().is_empty(), "a method comes with its comment");
    let echo = read("routes/routes.yaml");
    for (there, wrong) in [("backend: echo", "backend: ecko"), ("EchoService/Echo", "EchoService/Ecko"), ("[per_caller]", "[per_coller]")] {
        assert!(echo.contains(there));
        assert!(!valid(&routes, &echo.replace(there, wrong)).0, "{wrong}");
    }
    for (there, free) in [("access: anonymous", "permissions: [brand.new]"), ("backend: echo", "backend: \"${var.which}\"")] {
        assert_eq!(valid(&routes, &echo.replace(there, free)), (true, vec![]), "{free}");
    }
    let pushes = "topics:\n  a: { join: effect, pushes: [NUMBER] }\n";
    assert!(valid(&group, &pushes.replace("NUMBER", "3101")).0 && !valid(&group, &pushes.replace("NUMBER", "3199")).0);
}

#[test]
fn hooks_say_what_there_is_to_say_before_a_commit() {
    let hooks: Value = serde_yaml::from_str(&fs::read_to_string(top().join(".pre-commit-hooks.yaml")).unwrap()).unwrap();
    let folder = shipped();
    fs::write(folder.path().join("routes/game.yaml"), format!("{}\n\n\n", fs::read_to_string(top().join("routes/game.yaml")).unwrap()))
        .unwrap();
    let mut ids = Vec::new();
    for hook in hooks.as_sequence().unwrap() {
        let word = |key: &str| hook[key].as_str().unwrap();
        assert_eq!(word("language"), "system");
        let files = regex::Regex::new(word("files")).unwrap();
        assert!(files.is_match("routes/game.yaml") && !files.is_match("README.md"));
        let mut arguments: Vec<&str> = word("entry").strip_prefix("protogate ").unwrap().split(' ').collect();
        if hook["pass_filenames"].as_bool() != Some(false) {
            arguments.extend(["routes/game.yaml", "routes/routes.yaml"]);
        }
        let output = protogate(folder.path(), &arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", text(&output.stderr));
        ids.push(word("id").to_owned());
    }
    assert_eq!(ids, ["protogate-check", "protogate-fmt"]);
    assert_eq!(fs::read(folder.path().join("routes/game.yaml")).unwrap(), fs::read(top().join("routes/game.yaml")).unwrap());
}

#[test]
fn the_pipeline_of_the_example_is_made_of_commands_that_work() {
    let workflow: Value = serde_yaml::from_str(&fs::read_to_string(top().join("examples/ci/routes.yaml")).unwrap()).unwrap();
    let folder = shipped();
    let binary = Path::new(env!("CARGO_BIN_EXE_protogate")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let run = |command: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", command]).current_dir(folder.path()).env("PATH", &path).env_remove("GATEWAY_MODE");
        let who = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
        shell
            .envs(who.map(|name| (name, "somebody")))
            .env("GITHUB_BASE_REF", "main")
            .env("GITHUB_WORKSPACE", folder.path())
            .output()
            .unwrap()
    };
    assert!(
        run("git init -q -b main && git add . && git commit -qm routes && git update-ref refs/remotes/origin/main main").status.success()
    );
    let steps = workflow["jobs"]["routes"]["steps"].as_sequence().unwrap();
    let commands: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(commands.len(), 6);
    for command in commands {
        let output = run(command);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "$ {command}\n{told}");
    }
    let log: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("protogate.sarif")).unwrap()).unwrap();
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));

    fs::write(folder.path().join("routes/gateway.yaml"), "version: 1\nlisten: { prot: 1 }\n").unwrap();
    let annotated = run("protogate check --deny-warnings --format github");
    assert!(
        !annotated.status.success() && text(&annotated.stdout).starts_with("::error file=routes/gateway.yaml,line=2"),
        "{}",
        text(&annotated.stdout)
    );
}

#[test]
fn what_the_documents_type_shows_what_they_show() {
    let folder = shipped();
    let mut typed = 0;
    for name in ["docs/checking.md", "docs/editors.md"] {
        let mut reader = Reader::new(folder.path());
        for step in steps(&fs::read_to_string(top().join(name)).unwrap()) {
            match step {
                Step::Type { command, shown } => {
                    reader.types(&command, &shown);
                    typed += 1;
                }
                Step::Other { language, text } if language.starts_with("json-") => {
                    serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{name}: {error} in\n{text}"));
                }
                Step::Other { language, text } if language == "yaml" => {
                    serde_yaml::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error} in\n{text}"));
                }
                Step::Other { .. } => {}
                other => panic!("nobody follows {other:?}"),
            }
        }
    }
    assert_eq!(typed, 3);
}

#[test]
fn the_shape_of_json_that_is_documented_is_the_one_that_is_printed() {
    let document = fs::read_to_string(top().join("docs/checking.md")).unwrap();
    let shown = document.split("```json-shape\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let folder = folder_with(&[("routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: ecko,").replace("  9002:", "  9001:"))]);
    let said: serde_json::Value = serde_json::from_slice(&protogate(folder.path(), &["check", "--format", "json"]).stdout).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&said), keys(&shown));
    assert_eq!(keys(&said["summary"]), keys(&shown["summary"]));
    for finding in said["diagnostics"].as_array().unwrap() {
        assert_eq!(keys(finding), keys(&shown["diagnostics"][0]));
        finding["related"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|related| assert_eq!(keys(related), keys(&shown["diagnostics"][0]["related"][0])));
    }
    assert!(said["diagnostics"].as_array().unwrap().iter().any(|finding| !finding["related"].as_array().unwrap().is_empty()), "{said}");
}
