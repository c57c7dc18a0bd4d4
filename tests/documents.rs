//! What the documents list is what the code has: reasons, close codes, built-in values, examples in help texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::render;
use protogate::files::Files;
use protogate::wire::close::Close;

use crate::support::walkthrough::{Step, steps};
use crate::support::{TestGateway, copy, folder_with, top};

fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap()
}

/// The cells of a table's rows, the table being known by its head.
fn table(document: &str, head: &str) -> Vec<Vec<String>> {
    let mut lines = document.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "there is no table `{head}`");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// What stands in backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn protogate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_protogate")).args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap()
}

#[test]
fn every_reason_and_its_code_stands_in_the_protocol() {
    let source = read("src/failure/code.rs") + &read("src/failure/reason.rs");
    let codes: BTreeMap<&str, &str> = source
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "))
        .filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let written: BTreeSet<(String, String)> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Reason::")?.split_once("(Code::"))
        .map(|(_, parts)| {
            let (code, token) = parts.split_once(", ").unwrap();
            (token.trim_matches(['"', ')', ',']).to_owned(), codes[code].to_owned())
        })
        .collect();
    let listed: BTreeSet<(String, String)> = table(&read("docs/protocol.md"), "| reason | code | when |")
        .iter()
        .flat_map(|row| quoted(&row[0]).into_iter().map(|token| (token, row[1].clone())))
        .collect();
    assert!(written.len() > 10, "the reasons are found");
    assert_eq!(listed, written);
}

#[test]
fn what_settles_every_reason_of_the_gateway_stands_in_the_guide() {
    let reasons =
        |page: &str, head: &str| -> BTreeSet<String> { table(&read(page), head).iter().flat_map(|row| quoted(&row[0])).collect() };
    let settled = reasons("docs/operating.md", "| reason | who decided | what settles it |");
    assert_eq!(settled, reasons("docs/protocol.md", "| reason | code | when |"));
}

#[test]
fn every_reason_of_the_accounts_stands_in_the_protocol() {
    let source = read("src/services/auth/refusal.rs");
    let written: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Refusal::")?.split_once(" => \"")?.1.strip_suffix("\","))
        .filter(|token| token.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .map(str::to_owned)
        .collect();
    let listed = table(&read("docs/protocol.md"), "| reason of accounts | code | when |").iter().flat_map(|row| quoted(&row[0])).collect();
    assert!(written.len() > 10, "the reasons are found");
    assert_eq!(written, listed);
}

#[test]
fn every_reason_of_games_and_its_code_stands_in_the_protocol() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(top().join("src/services/game")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        for made in fs::read_to_string(file).unwrap().split("Refusal::").skip(1) {
            let code = made.strip_prefix("new(Code::").map_or("InvalidArgument", |code| code.split(',').next().unwrap());
            let is_reason = |word: &&str| word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            if let Some(reason) = made.split(';').next().unwrap().split('"').skip(1).step_by(2).find(is_reason) {
                written.insert((reason.to_owned(), code.to_owned()));
            }
        }
    }
    // They stand with those of the accounts.
    for elsewhere in [("NOT_LOGGED_IN", "Unauthenticated"), ("INTERNAL", "Internal")] {
        assert!(written.remove(&(elsewhere.0.to_owned(), elsewhere.1.to_owned())), "{elsewhere:?} is found");
    }
    let rows = table(&read("docs/protocol.md"), "| reason of games | code | when |");
    let listed = rows.iter().flat_map(|row| quoted(&row[0]).into_iter().map(|reason| (reason, row[1].clone()))).collect();
    assert!(written.len() > 10, "the reasons are found");
    assert_eq!(written, listed);
}

#[test]
fn every_reason_of_chat_and_its_code_stands_in_the_protocol() {
    let source = read("src/services/chat/refusals.rs");
    let written: BTreeSet<(String, String)> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Refusal::"))
        .map(|line| {
            let reason = line.split('"').find(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && word.len() > 3);
            let code = line.split_once("Code::").map_or("InvalidArgument", |(_, code)| code.split(',').next().expect("there is a first"));
            (reason.unwrap_or_else(|| panic!("no reason in {line}")).to_owned(), code.to_owned())
        })
        .collect();
    let rows = table(&read("docs/protocol.md"), "| reason of chat | code | when |");
    let listed = rows.iter().flat_map(|row| quoted(&row[0]).into_iter().map(|reason| (reason, row[1].clone()))).collect();
    assert!(written.len() > 10, "the reasons are found");
    assert_eq!(written, listed);
}

#[test]
fn every_close_code_and_its_verdict_stands_in_the_protocol() {
    let listed: BTreeSet<(u16, String, bool)> = table(&read("docs/protocol.md"), "| code | reason | | again |")
        .iter()
        .map(|row| (row[0].parse().unwrap(), quoted(&row[1]).remove(0), row[3].starts_with("yes")))
        .collect();
    let there = Close::ALL.into_iter().map(|close| (close.code(), close.reason().to_owned(), close.reconnect())).collect();
    assert_eq!(listed, there);
}

#[test]
fn the_built_in_values_are_those_of_the_code() {
    let document = read("docs/configuration.md");
    let table: BTreeMap<String, String> =
        table(&document, "| key | built-in |").iter().flat_map(|row| quoted(&row[0]).into_iter().zip(quoted(&row[1]))).collect();
    let source = read("src/table/compile/routes.rs");
    for (key, shown, written) in [
        ("timeout", "5s", "TIMEOUT: Duration = Duration::from_secs(5)"),
        ("request_bytes_max", "64KiB", "REQUEST_BYTES_MAX: usize = 64 << 10"),
        ("reply_bytes_max", "256KiB", "REPLY_BYTES_MAX: usize = 256 << 10"),
        ("access", "authenticated", "Some(document::Access::Authenticated) | None => Access::Authenticated"),
        ("log", "{ sample: 0%, payload: none, slow: 1s }", "SLOW: Duration = Duration::from_secs(1)"),
        ("log", "{ sample: 0%, payload: none, slow: 1s }", "Some(document::LogPayload::None) | None => LogPayload::None"),
        ("log", "{ sample: 0%, payload: none, slow: 1s }", "SAMPLE: u32 = 0"),
        ("reply", "always", "policy.reply.as_ref().is_none_or(|reply| reply.value == document::ReplyMode::Always)"),
        ("forward_token", "false", "policy.forward_token.as_ref().is_some_and(|on| on.value)"),
    ] {
        assert_eq!(table.get(key).map(String::as_str), Some(shown), "{key}");
        assert!(source.contains(written), "the built-in value of `{key}` has changed: mend docs/configuration.md and this list");
    }
}

#[test]
fn every_field_of_the_access_log_stands_in_its_document() {
    let source = read("src/pipeline/access_log.rs");
    let event = source.split("event!(").nth(1).and_then(|rest| rest.split("\"call\"").next()).expect("the event");
    let fields = event.lines().filter_map(|line| Some(line.trim().split_once(" = ")?.0.to_owned()));
    let listed = table(&read("docs/logging.md"), "| field | what it says |").iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(fields.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn every_key_of_a_policy_that_has_a_built_in_value_stands_in_the_table() {
    let source = read("src/config/document/route.rs");
    let policy = source.split("pub struct Policy {").nth(1).and_then(|rest| rest.split("\n    }").next()).expect("the section of policies");
    let keys: Vec<&str> =
        policy.lines().map(str::trim).filter(|line| !line.starts_with("///")).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let document = read("docs/configuration.md");
    let listed: BTreeSet<String> = table(&document, "| key | built-in |").iter().flat_map(|row| quoted(&row[0])).collect();
    let without = ["backend", "split", "hash", "permissions", "rate_limits", "metadata", "redact", "guards", "set", "allow"];
    let expected: BTreeSet<String> = keys.into_iter().filter(|key| !without.contains(key)).map(str::to_owned).collect();
    assert_eq!(listed, expected);
}

#[test]
fn every_help_text_has_an_example_that_works() {
    let routes = format!("{}pushes:\n  2101: {{ name: echo.said, message: protogate.echo.v1.EchoResponse }}\n", crate::support::ECHO);
    let gateway = TestGateway::start(&routes);
    let (url, admin) = (format!("ws://{}/ws", gateway.edge()), gateway.admin().to_string());
    let template = "name: welcome\ndefault_locale: en\nwords: { en: { title: Welcome } }\n";
    fs::write(gateway.folder().join("welcome.yaml"), template).unwrap();
    for command in [
        "",
        "serve",
        "check",
        "init",
        "docs",
        "explain",
        "diff",
        "lock",
        "reload",
        "routes",
        "drain",
        "revoke",
        "kick",
        "connections",
        "tap",
        "push",
        "register",
        "notify",
        "template",
        "call",
        "services",
        "services auth",
        "token",
        "token issue",
        "token api-key",
    ] {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = String::from_utf8(protogate(gateway.folder(), &words).stdout).unwrap();
        let example =
            help.lines().find_map(|line| line.strip_prefix("Example: protogate ")).unwrap_or_else(|| panic!("`{command}`:\n{help}"));
        assert!(example.starts_with(command), "the example of `{command}` is of another command: {example}");
        // Of those that run on, and the one that ends a gateway, other tests have examples.
        if ["serve", "services", "register", "drain"].iter().any(|serves| example.starts_with(serves)) {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("\"$0\" {example}"), env!("CARGO_BIN_EXE_protogate")]).env("PROTOGATE_ADMIN", &admin);
        let output = shell.current_dir(gateway.folder()).env("PROTOGATE_URL", &url).env_remove("GATEWAY_MODE").output().unwrap();
        assert!(output.status.success(), "protogate {example}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn help_names_every_exit_code() {
    let folder = folder_with(&[]);
    let help = String::from_utf8(protogate(folder.path(), &["--help"]).stdout).unwrap();
    let listed: BTreeSet<&str> =
        help.lines().skip_while(|line| *line != "Exit codes:").skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let source = read("src/cli/mod.rs");
    let consts =
        source.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": u8 = ")).map(|(_, code)| code.trim_end_matches(';'));
    assert_eq!(listed, consts.chain(["0", "1", "2"]).collect());
}

#[test]
fn production_says_all_that_is_missing_at_once_with_lines_to_paste() {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    let routes = folder.path().join("routes/routes.yaml");
    let check = || protogate(folder.path(), &["check", "--env", "production", "--deny-warnings"]);
    fs::write(&routes, fs::read_to_string(&routes).unwrap().replace("access: anonymous", "access: authenticated")).unwrap();
    let told = String::from_utf8(check().stdout).unwrap();
    assert!(told.contains("production needs an admin token") && told.contains("production needs a key that signs tokens"), "{told}");

    // What it says to add is added, and then it is content.
    let mut paste = String::new();
    for block in told.split("add to gateway.yaml:\n").skip(1) {
        block.lines().take_while(|line| line.starts_with("          ")).for_each(|line| paste += &format!("{}\n", &line[10..]));
    }
    let gateway = folder.path().join("routes/gateway.yaml");
    // That nobody can send mail is no error, and may be meant.
    paste += "allow: [{ code: PG096, reason: \"there is no mail server\" }]\n";
    fs::write(&gateway, fs::read_to_string(&gateway).unwrap() + &paste).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    fs::write(folder.path().join("routes/signing.pem"), key.serialize_pem()).unwrap();
    let mut last = Command::new(env!("CARGO_BIN_EXE_protogate"));
    let output = last
        .args(["check", "--env", "production", "--deny-warnings"])
        .current_dir(folder.path())
        .env("ADMIN_TOKEN", "a token of at least sixteen characters")
        .output()
        .unwrap();
    assert!(output.status.success(), "{paste}\n{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_fragment_of_the_configuration_page_is_read_without_a_finding() {
    let mut read = 0;
    for step in steps(&self::read("docs/configuration.md")) {
        let Step::Other { language, text } = step else { continue };
        assert_eq!(language, "yaml");
        let leak = |text: String| -> &'static str { text.leak() };
        // An overlay lies over a file of its own; everything else is a part of routes.yaml, or says that it is one of gateway.yaml.
        let files = if text.starts_with("# game.production.yaml") {
            let base = "defaults: { timeout: 5s }\nroutes:\n  2003: { name: game.join_room, rpc: game.v1.GameService/JoinRoom }\n";
            vec![
                ("routes/routes.yaml", "version: 1\ninclude: [game.yaml]\n"),
                ("routes/game.yaml", base),
                ("routes/game.production.yaml", leak(text)),
            ]
        } else if text.starts_with("# gateway.yaml") {
            vec![("routes/routes.yaml", "version: 1\n"), ("routes/gateway.yaml", leak(format!("version: 1\n{text}\n")))]
        } else {
            vec![("routes/routes.yaml", leak(format!("version: 1\n{text}\n")))]
        };
        let variables = |_: &str| Some("127.0.0.1:50051".to_owned());
        let options = LoadOptions { folder: "routes".into(), environment: Environment::Production, variables: &variables };
        let (document, report) = config::load(&Files::in_memory(files.leak()), &options);
        assert!(report.is_empty(), "{}", render::human(&report, &document.sources, render::Color::Plain));
        read += 1;
    }
    assert!(read >= 6, "the page has fragments");
}
