//! README.md is true, and docs/tour.md, which goes on where it ends: a newcomer who does what they say, on the shipped files, sees what they
//! show. The numbers of routes and files are those of the shipped ones, and stand nowhere else.

use std::fs;
use std::path::Path;

use crate::support::walkthrough::{Reader, Step, steps, wait_for};
use crate::support::{copy, folder_with, top};

/// What the README types where an installed program is typed as `protogate`.
const CARGO: &str = "cargo run --release -- ";

/// Adds the lines that a block marks as new, each below the line it stands below there.
fn apply(block: &str, file: &Path) {
    let mut lines: Vec<String> = fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    for pair in block.lines().collect::<Vec<_>>().windows(2) {
        if pair[1].ends_with("# new") {
            let at = lines.iter().position(|line| line == pair[0]).unwrap_or_else(|| panic!("routes.yaml has no line `{}`", pair[0]));
            lines.insert(at + 1, pair[1].to_owned());
        }
    }
    save(file, &(lines.join("\n") + "\n"));
}

fn save(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_minute_and_the_first_change_are_as_the_readme_says() {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    copy(&top().join("examples/greeter/proto"), &folder.path().join("examples/greeter/proto"));
    let routes = folder.path().join("routes/routes.yaml");
    let [readme, tour] = ["README.md", "docs/tour.md"].map(|name| fs::read_to_string(top().join(name)).unwrap());
    let mut reader = Reader::new(folder.path());
    let (mut changed, mut said, mut followed) = (false, 0, 0);
    for step in steps(&readme).into_iter().chain(steps(&tour)) {
        match step {
            Step::Type { command, shown } if command.starts_with(CARGO) || command.starts_with("protogate ") => {
                let command = command.replace(CARGO, "protogate ");
                // "Write `slowlly` instead": the second change.
                if command == "protogate check" {
                    let text = fs::read_to_string(&routes).unwrap();
                    assert!(readme.contains("Write `slowlly` instead"));
                    save(&routes, &text.replace("[slowly]", "[slowlly]"));
                    wait_for("the gateway says why it refuses", || reader.log().contains("there is no rate limit `slowlly`"));
                    assert!(reader.log().contains("reload refused, the old table stays"), "{}", reader.log());
                }
                reader.types(&command, &shown);
            }
            Step::Type { command, .. } => assert!(command.starts_with("websocat ") || command == "tests/run", "nobody follows `{command}`"),
            Step::Follow { who, lines } => {
                followed += 1;
                reader.follows(&who, &lines).await;
            }
            Step::Say(values) => {
                said += values.len();
                reader.says(values).await;
            }
            Step::Other { language, text } if language == "yaml" => {
                apply(&text, &routes);
                changed = true;
                // How many routes are shipped stands in the README alone.
                let promised = readme.split('`').find(|text| text.starts_with("reloaded generation=2 routes="));
                let promised = promised.expect("the README says what the log will say");
                wait_for(&format!("the log says `{promised}`, with the number of routes"), || reader.log().contains(promised));
            }
            Step::Other { .. } => {}
        }
    }
    assert!(changed && said >= 5 && followed >= 4, "they show a change, a conversation, and some that go on");
}
