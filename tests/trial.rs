//! Tests of routes, as a team runs them: those that are shipped, those that fail, and what is said about both.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::walkthrough::{Step, steps};
use crate::support::{ECHO, copy, folder_with, top};

/// A test of [`ECHO`] that passes, and one that does not.
const TESTS: &str = "version: 1
tests:
  - name: the echo answers
    steps: [{ call: echo, request: { text: hi }, mock: { reply: { text: hi } }, expect: { reply: { text: hi } } }]
  - name: the echo <answers> \"loudly\"
    steps: [{ call: echo, request: { text: hi }, mock: { reply: { text: hi } }, expect: { reply: { text: HI } } }]
";

fn test(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    let Output { status, stdout, stderr } =
        command.arg("test").args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

fn echo_with(tests: &str) -> TempDir {
    folder_with(&[("routes/routes.yaml", ECHO), ("routes/tests/echo.test.yaml", tests)])
}

/// The last line, and what is above it.
fn last(said: &str) -> (&str, &str) {
    said.trim_end().rsplit_once('\n').map_or(("", said.trim_end()), |(above, last)| (above, last))
}

#[test]
fn every_shipped_route_and_push_has_a_test_and_all_of_them_pass() {
    let (code, said, _) = test(&top(), &["--fail-under", "100"]);
    let (above, last) = last(&said);
    assert_eq!(code, 0, "{said}");
    assert!(last.ends_with(" 0 failed, routes covered 26 of 26 (100 %)"), "{said}");
    assert!(above.lines().all(|line| line.starts_with("ok ")), "nothing is never called or never pushed: {said}");

    let (code, said, _) = test(&top(), &["--coverage"]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("never"), "each route is seen to succeed and to be refused, each push is pushed:\n{said}");
}

#[test]
fn what_is_compiled_in_is_tested_as_well_and_with_any_seed_alike() {
    let empty = tempfile::tempdir().unwrap();
    let (code, said, _) = test(empty.path(), &[]);
    assert_eq!(code, 0, "{said}");
    let (code, again, _) = test(empty.path(), &["--seed", "4242"]);
    assert_eq!((code, again), (0, said));
    assert!(fs::read_dir(empty.path()).unwrap().next().is_none(), "it writes nothing");
}

#[test]
fn a_test_that_fails_is_shown_with_its_place_and_the_others_go_on() {
    let folder = echo_with(TESTS);
    let (code, said, _) = test(folder.path(), &[]);
    assert_eq!(code, 3, "{said}");
    let expected = r#"ok      routes/tests/echo.test.yaml:3: the echo answers
FAILED  routes/tests/echo.test.yaml:5: the echo <answers> "loudly"

error[PG153]: the client gets something else in `text`: expected `"HI"`, and it is `"hi"`
 --> routes/tests/echo.test.yaml:6:106
  |
6 |     steps: [{ call: echo, request: { text: hi }, mock: { reply: { text: hi } }, expect: { reply: { text: HI } } }]
  |                                                                                                          ^^

never called: 9002 echo.known, 9003 echo.player
test: 1 passed, 1 failed, routes covered 1 of 3 (33 %)
"#;
    assert_eq!(said, expected);
}

#[test]
fn programs_read_json_and_builds_junit() {
    let folder = echo_with(TESTS);
    let (code, said, _) = test(folder.path(), &["--format", "json"]);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, json["version"].as_u64()), (3, Some(1)), "{json}");
    assert_eq!(json["summary"], serde_json::json!({"passed": 1, "failed": 1, "routes": 3, "routes_covered": 1, "percent": 33}));
    let failure = &json["tests"][1]["failures"][0];
    assert_eq!(
        (failure["line"].as_u64(), failure["column"].as_u64(), failure["path"].as_str()),
        (Some(6), Some(106), Some("tests[1].steps[0]"))
    );
    assert_eq!(json["coverage"]["routes"][0]["succeeded"], 2);

    let (code, said, _) = test(folder.path(), &["--format", "junit"]);
    assert_eq!(code, 3);
    assert!(said.contains("<testsuite name=\"routes/tests/echo.test.yaml\" tests=\"2\" failures=\"1\">"), "{said}");
    assert!(said.contains("name=\"the echo &lt;answers&gt; &quot;loudly&quot;\""), "{said}");
    assert!(
        said.contains("<failure message=\"error[PG153]: the client gets something else in `text`: expected `&quot;HI&quot;`"),
        "{said}"
    );
    assert_eq!((said.matches("<testcase").count(), said.matches("</testsuites>").count()), (2, 1));
}

#[test]
fn mistakes_that_keep_tests_from_running_are_said_in_the_format_that_was_asked_for() {
    let unsound =
        folder_with(&[("routes/routes.yaml", &ECHO.replace("backend: echo", "backend: ecko")), ("routes/tests/echo.test.yaml", TESTS)]);
    let wrong = echo_with(&TESTS.replace("call: echo", "call: \"e<cho\""));
    for (folder, rule, file) in [(&unsound, "PG023", "routes/routes.yaml"), (&wrong, "PG007", "routes/tests/echo.test.yaml")] {
        let (code, said, _) = test(folder.path(), &["--format", "json"]);
        let json: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, json["version"].as_u64(), json["tests"].as_array().map(Vec::len)), (1, Some(1), Some(0)), "{json}");
        let first = &json["diagnostics"][0];
        assert_eq!((first["code"].as_str(), first["file"].as_str()), (Some(rule), Some(file)), "{json}");

        let (code, said, _) = test(folder.path(), &["--format", "junit"]);
        assert_eq!((code, said.matches("</testsuites>").count()), (1, 1), "{said}");
        assert!(said.starts_with("<?xml") && said.contains(&format!("<testcase classname=\"{file}\" name=\"{rule}\"")), "{said}");
        assert_eq!(said.matches("<error message=").count(), said.matches("</testcase>").count());
        assert!(!said.contains("e<cho"), "{said}");
    }
    let (_, said, _) = test(echo_with(TESTS).path(), &["--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["diagnostics"], serde_json::json!([]));
}

#[test]
fn coverage_that_is_too_low_fails_and_is_named() {
    let folder = echo_with("version: 1\ntests: []\n");
    let (code, said, _) = test(folder.path(), &[]);
    assert_eq!((code, last(&said).1), (0, "test: 0 passed, 0 failed, routes covered 0 of 3 (0 %)"), "{said}");
    assert!(said.starts_with("never called: 9001 echo"), "{said}");
    let (code, _, told) = test(folder.path(), &["--fail-under", "1"]);
    assert_eq!((code, told.trim_end()), (3, "error: 0 % of the routes are covered, which is less than 1 %"));
}

#[test]
fn tests_are_chosen_by_path_and_by_name() {
    let folder = echo_with(TESTS);
    let path = folder.path();
    fs::write(path.join("other.test.yaml"), TESTS.replace("HI", "hi")).unwrap();
    assert_eq!(test(path, &["other.test.yaml"]).0, 0);
    assert_eq!(test(path, &["--filter", "the echo answers"]).0, 0);
    let (code, said, _) = test(path, &["--list", "."]);
    assert_eq!((code, said.lines().count()), (0, 4), "{said}");
    assert!(said.starts_with("other.test.yaml:3: the echo answers\n"), "{said}");
    let (code, _, told) = test(path, &["--filter", "nothing"]);
    assert_eq!((code, told.lines().next()), (1, Some("error: no test has `nothing` in its name")));
    let (code, _, told) = test(path, &["nowhere"]);
    assert_eq!((code, told.trim_end()), (66, "error: `nowhere` cannot be read: no such file or folder"));
}

#[test]
fn mistakes_are_said_before_anything_runs() {
    let folder = echo_with(&TESTS.replace("call: echo", "call: ecko"));
    let (code, said, _) = test(folder.path(), &[]);
    assert_eq!((code, last(&said).1), (1, "test: 2 errors, 1 file"), "{said}");
    assert!(said.contains("error[PG150]: there is no route `ecko`") && said.contains("did you mean `echo`?"), "{said}");

    fs::write(folder.path().join("routes/routes.yaml"), ECHO.replace("rpc:", "rcp:")).unwrap();
    let (code, said, _) = test(folder.path(), &[]);
    assert_eq!(code, 1);
    assert!(last(&said).1.starts_with("check: "), "the configuration comes first: {said}");
}

#[test]
fn tests_are_no_part_of_the_configuration() {
    let folder = echo_with("this is: [no YAML");
    let check = Command::new(env!("CARGO_BIN_EXE_protogate")).arg("check").current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert_eq!((check.status.code(), said.trim_end().lines().last().unwrap().ends_with("3 routes, 1 file")), (Some(0), true), "{said}");
}

#[test]
fn a_message_that_is_too_large_is_refused_before_the_service_is_asked() {
    let tests = format!(
        "version: 1\ntests:\n  - name: too large\n    steps: [{{ call: echo, request: {{ text: {} }}, expect: {{ outcome: too_large, attempts: 0 }} }}]\n",
        "x".repeat(70_000)
    );
    let (code, said, _) = test(echo_with(&tests).path(), &[]);
    assert_eq!(code, 0, "{}", said.chars().take(2000).collect::<String>());
}

#[test]
fn what_the_page_shows_is_what_happens() {
    let page = fs::read_to_string(top().join("docs/testing.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&top().join("proto"), &folder.path().join("proto"));
    copy(&top().join("routes"), &folder.path().join("routes"));
    fs::remove_dir_all(folder.path().join("routes/tests")).unwrap();
    let mut followed = 0;
    for step in steps(&page) {
        match step {
            Step::Other { language, text } if language == "yaml" => {
                fs::write(folder.path().join("routes/page.test.yaml"), text).unwrap();
                let (code, said, _) = test(folder.path(), &[]);
                assert_eq!(code, 0, "{said}");
                followed += 1;
            }
            Step::Type { command, shown } => {
                let arguments: Vec<&str> = command.split(' ').collect();
                let (_, said, told) = test(&top(), &arguments[2..]);
                let said = format!("{said}{told}");
                assert!(shown.iter().filter(|line| *line != "…").all(|line| said.contains(line.as_str())), "{command}\n{said}");
                followed += 1;
            }
            _ => {}
        }
    }
    assert_eq!(followed, 3);
}
