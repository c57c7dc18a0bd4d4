//! A document done as it says: its `console` blocks are typed, its `json` blocks are said to the gateway that it started.
//!
//! A `json` block is what a client sends and what it then receives, in turn; where their number is odd, the first is the greeting.
//! `…` stands for whatever is there: in a line, in a text, and as `, …}` for further keys.
//!
//! A `console NAME` block is the terminal of somebody who stays. It begins with a command, or goes on where the last block of that name
//! ended. A line that begins with a digit is typed, `^C` is pressed, and the lines below it come then, in any order: a reply and a push may
//! overtake one another. Pushes may come that are not shown, as those do that a client may just have missed; none comes twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::TestClient;
use super::terminal::Terminal;
use super::{PATIENCE, top};

/// What a document asks its reader to do.
#[derive(Clone, Debug)]
pub enum Step {
    Type {
        command: String,
        shown: Vec<String>,
    },
    Say(VecDeque<Value>),
    /// In the terminal of this name: what is typed, and what is shown.
    Follow {
        who: String,
        lines: Vec<String>,
    },
    /// Any other block, by its language.
    Other {
        language: String,
        text: String,
    },
}

/// Whoever follows a document: a folder, and the gateway that it said to start.
pub struct Reader {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    gateway: Option<Running>,
    client: Option<TestClient>,
    /// What a document calls `eyJ…`, once a command has printed it.
    token: Option<String>,
    /// What it calls `USER_ID`.
    user: Option<String>,
    terminals: BTreeMap<String, Terminal>,
    /// The pushes that were seen in them.
    pushes: BTreeSet<String>,
    /// What it calls `ROOM_ID`, and `BOB_ID` after whoever logged in in the terminal `bob`.
    ids: BTreeMap<String, String>,
}

/// A process that ends with the test.
pub struct Running {
    child: Child,
    edge: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

/// Every block of a document, in its order.
pub fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match language {
            "console" => {
                for line in block {
                    match (line.strip_prefix("$ "), steps.last_mut()) {
                        (Some(command), _) => steps.push(Step::Type { command: command.to_owned(), shown: Vec::new() }),
                        (None, Some(Step::Type { shown, .. })) => shown.push(line.to_owned()),
                        _ => panic!("a console block begins with `$ `, not with {line}"),
                    }
                }
            }
            "json" => {
                let text = block.join("\n").replace(", …}", r#","…":"…"}"#);
                let values = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>();
                steps.push(Step::Say(values.unwrap_or_else(|error| panic!("{error} in\n{text}"))));
            }
            _ if language.starts_with("console ") => {
                let who = language.trim_start_matches("console ").to_owned();
                steps.push(Step::Follow { who, lines: block.into_iter().map(str::to_owned).collect() });
            }
            _ => steps.push(Step::Other { language: language.to_owned(), text: block.join("\n") }),
        }
    }
    steps
}

/// The Python with the packages of the tests.
pub fn python() -> PathBuf {
    let python = top().join("tests/.venv/bin/python");
    assert!(python.exists(), "there is no {}: run `tests/run` once, which makes it", python.display());
    python
}

// === impl Reader ===

impl Reader {
    pub fn new(folder: &Path) -> Reader {
        Reader {
            folder: folder.to_owned(),
            variables: Vec::new(),
            gateway: None,
            client: None,
            token: None,
            user: None,
            terminals: BTreeMap::new(),
            pushes: BTreeSet::new(),
            ids: BTreeMap::new(),
        }
    }

    pub fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    /// Where the gateway that was started listens.
    pub fn edge(&self) -> SocketAddr {
        self.gateway.as_ref().and_then(|running| running.edge).expect("a gateway was started")
    }

    /// Where its operator's door is.
    pub fn admin(&self) -> SocketAddr {
        self.gateway.as_ref().and_then(|running| running.admin).expect("a gateway was started")
    }

    /// What the gateway has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default()
    }

    /// Types a command of the program, and checks that the terminal shows what the document shows.
    pub fn types(&mut self, command: &str, shown: &[String]) {
        if command.starts_with("protogate serve") {
            self.gateway = None;
            self.client = None;
            self.gateway = Some(self.serve(command));
            return;
        }
        let known = [("eyJ…", &self.token), ("USER_ID", &self.user)];
        let named = known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let command = &named.fold(command.to_owned(), |command, (name, value)| command.replace(name, value));
        let output = self.shell(command).output().unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        let lines: Vec<&str> = told.trim_end().lines().collect();
        let same = lines.len() == shown.len() && lines.iter().zip(shown).all(|(line, shown)| fits(shown.trim_end(), line.trim_end()));
        // A command shown without its output may say anything, as long as it succeeds.
        assert!(
            same || (shown.is_empty() && output.status.success()),
            "$ {command}\nthe document shows:\n{}\nit says:\n{told}",
            shown.join("\n")
        );
        if let Some(token) = lines.first().filter(|line| line.starts_with("eyJ")) {
            self.token = Some((*token).to_owned());
        }
        let reply: Value = lines.last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        if let (Some(token), Some(user)) = (reply["accessToken"].as_str(), reply["user"]["userId"].as_str()) {
            (self.token, self.user) = (Some(token.to_owned()), Some(user.to_owned()));
        }
    }

    /// Types a command, and returns what the terminal shows.
    pub fn asks(&self, command: &str) -> String {
        let output = self.shell(command).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    }

    /// Says what the document says, on one connection through the whole document.
    pub async fn says(&mut self, mut values: VecDeque<Value>) {
        if self.client.is_none() {
            let edge = self.gateway.as_ref().and_then(|gateway| gateway.edge).expect("the document starts a gateway first");
            self.client = Some(TestClient::connect(edge).await);
        }
        let client = self.client.as_mut().unwrap();
        if values.len() % 2 == 1 {
            let greeting = values.pop_front().unwrap();
            assert!(same(&greeting, &client.hello), "the document shows {greeting}, the greeting is {}", client.hello);
        }
        while let (Some(mut sent), Some(shown)) = (values.pop_front(), values.pop_front()) {
            if let Some(token) = sent.pointer_mut("/payload/token") {
                *token = self.token.clone().expect("the document says how to get a token").into();
            }
            client.say(sent.to_string()).await;
            let heard = client.hear_message().await;
            assert!(same(&shown, &heard), "to {sent}\nthe document shows {shown}\nit answers        {heard}");
        }
    }

    /// Types what somebody types who stays, and checks that everything comes that the document shows.
    pub async fn follows(&mut self, who: &str, lines: &[String]) {
        let mut shown: Vec<&str> = Vec::new();
        for line in lines {
            let typed = line.starts_with(|first: char| first.is_ascii_digit()).then(|| self.named(line));
            match line.strip_prefix("$ ") {
                Some(command) => {
                    let terminal = Terminal::open(&mut self.shell(&format!("exec {command}")));
                    assert!(self.terminals.insert(who.to_owned(), terminal).is_none(), "{who} still runs something else");
                }
                None if typed.is_some() || line == "^C" => self.sees(who, &mut shown).await,
                None => shown.push(line),
            }
            if let Some(typed) = typed {
                self.terminal(who).types(&typed);
            }
            if line == "^C" {
                self.terminal(who).interrupt();
                assert_eq!(self.terminals.remove(who).expect("it ran").ends().await, 0, "whoever presses Ctrl-C has had enough");
            }
        }
        self.sees(who, &mut shown).await;
    }

    /// Waits until all of this was shown, and learns from it.
    async fn sees(&mut self, who: &str, shown: &mut Vec<&str>) {
        while !shown.is_empty() {
            let came = self.terminal(who).try_next().await;
            let line = came.unwrap_or_else(|told| panic!("{who} never sees {shown:#?}, but is told: {told}"));
            match shown.iter().position(|shown| fits(shown.trim_end(), &line)) {
                Some(place) => drop(shown.remove(place)),
                None => assert!(line.starts_with("← "), "{who} sees\n{line}\nwhere the document shows {shown:#?}"),
            }
            if line.starts_with("← ") {
                assert!(self.pushes.insert(format!("{who} {line}")), "{who} sees it twice: {line}");
            }
            let reply: Value = line.split_once(" {").map_or(Value::Null, |(_, json)| serde_json::from_str(&format!("{{{json}")).unwrap());
            if let Some(user) = reply["user"]["userId"].as_str() {
                self.ids.insert(format!("{}_ID", who.to_uppercase()), user.to_owned());
            }
            if let Some(room) = reply["room"]["id"].as_str().filter(|_| line.starts_with("= ")) {
                self.ids.insert("ROOM_ID".to_owned(), room.to_owned());
            }
        }
    }

    fn terminal(&mut self, who: &str) -> &mut Terminal {
        self.terminals.get_mut(who).unwrap_or_else(|| panic!("nothing runs in the terminal of {who}"))
    }

    /// With what the document has names for.
    fn named(&self, line: &str) -> String {
        self.ids.iter().fold(line.to_owned(), |line, (name, id)| line.replace(name, id))
    }

    /// The program is on the path, as is the Python that has what the tests need.
    fn shell(&self, command: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_protogate")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).env("PATH", path).env_remove("GATEWAY_MODE").stdin(Stdio::null());
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(Running { edge: Some(edge), admin: Some(admin), .. }) = &self.gateway {
            shell.env("PROTOGATE_URL", format!("ws://{edge}/ws")).env("PROTOGATE_ADMIN", admin.to_string());
        }
        shell
    }

    fn serve(&self, command: &str) -> Running {
        let ready = self.folder.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = File::create(self.folder.join("gateway.log")).unwrap();
        let command = format!("exec {command} --listen 127.0.0.1:0 --admin 127.0.0.1:0 --ready-file ready.json");
        let mut running = Running { child: self.shell(&command).stderr(log).spawn().unwrap(), edge: None, admin: None };
        wait_for("the gateway is ready", || {
            assert!(running.child.try_wait().unwrap().is_none(), "{command} ended:\n{}", self.log());
            ready.exists()
        });
        let addresses: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        let address = |side: &str| Some(addresses[side].as_str().unwrap().parse().unwrap());
        (running.edge, running.admin) = (address("edge"), address("admin"));
        running
    }
}

// === impl Running ===

impl Running {
    /// Starts a service that says where it listens on the first line of standard error, and returns that address.
    pub fn service(command: &mut Command, log: &Path) -> (Running, String) {
        let running = Running { child: command.stderr(File::create(log).unwrap()).spawn().unwrap(), edge: None, admin: None };
        let said = || std::fs::read_to_string(log).unwrap();
        wait_for("the service listens", || said().contains(" listens on ") && said().ends_with('\n'));
        let address = said().lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
        (running, address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a text is what is shown, in which `…` stands for anything.
fn fits(shown: &str, text: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(after, &rest[at..]))
}

fn same(shown: &Value, value: &Value) -> bool {
    match (shown, value) {
        (Value::String(shown), Value::String(text)) => fits(shown, text),
        (Value::Array(shown), Value::Array(items)) => shown.len() == items.len() && shown.iter().zip(items).all(|(a, b)| same(a, b)),
        (Value::Object(shown), Value::Object(fields)) => {
            let named = shown.keys().filter(|key| *key != "…");
            let open = shown.contains_key("…");
            named.clone().all(|key| fields.get(key).is_some_and(|field| same(&shown[key], field)))
                && (open || named.count() == fields.len())
        }
        _ => shown == value,
    }
}
