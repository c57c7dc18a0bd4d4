//! Whatever clients choose, in whatever number, no series comes of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::Ready;
use crate::config::Environment;
use crate::dispatch;
use crate::failure::{Code, Failure, Reason};
use crate::id::{ConnectionId, WorkerId};
use crate::pipeline::Caller;
use crate::proto::Pools;
use crate::push::Hub;
use crate::reflection::Drift;
use crate::reload::desk::Desk;
use crate::reload::{Inputs, Origin, Reloader, check};
use crate::services::builtins_in_memory;
use crate::services::notify::sender::Sender;
use crate::session::connected::{Connected, Page, Search};
use crate::session::{Budget, Connections, Identity, Sessions};
use crate::table::compile::Context;
use crate::table::link::{Cells, Living};
use crate::table::settings::AdminToken;
use crate::telemetry::observers::Observers;
use crate::telemetry::seldom::Seldom;
use crate::wire::{Codec, Envelope, Payload};

/// In every text that is chosen.
const MARK: &str = "zq7x";

/// No connections.
struct Nobody;

impl Connections for Nobody {
    fn list(&self, _: Search, _: ConnectionId, _: usize) -> BoxFuture<'_, Page> {
        Box::pin(async { Page::default() })
    }

    fn one(&self, _: ConnectionId) -> BoxFuture<'_, Option<Connected>> {
        Box::pin(async { None })
    }

    fn close(&self, _: ConnectionId) -> bool {
        false
    }
}

/// The gateway's own side of the shipped routes, without sockets.
fn admin() -> Arc<Admin> {
    let inputs = Inputs {
        origin: Origin::Shipped,
        environment: Environment::Development,
        variables: Box::new(|_| None),
        context: Context::default(),
    };
    let pools = Pools::default();
    let mut checked = check(&inputs, None, &pools);
    let (builtins, sessions, observers) = (Arc::new(builtins_in_memory()), Sessions::for_tests(), Arc::new(Observers::default()));
    let hub = Hub::for_tests(&sessions);
    let living = Living::new(Arc::clone(&builtins), sessions, hub, Cells::default(), Arc::clone(&observers), 1);
    Arc::new(Admin {
        token: AdminToken("a".into()),
        reloader: Arc::new(Reloader::start(Desk::open().unwrap(), inputs, pools, &mut checked, living)),
        ready: Ready::default(),
        notify: Sender::to(&builtins),
        drift: Drift::default(),
        edge: ([127, 0, 0, 1], 7080).into(),
        connections: Box::new(|| 0),
        connected: Arc::new(Nobody),
        anonymous: Box::new(|| 0),
        outboxes: Arc::new(Budget::new(1000, 1000)),
        observers,
        started_ms: 0,
        verbosity: Arc::default(),
        strangers: Seldom::new(Duration::ZERO),
        draining: CancellationToken::new(),
    })
}

fn written(admin: &Arc<Admin>) -> String {
    Scrape { admin: Arc::clone(admin), live: admin.reloader.reader().load() }.write(false)
}

fn series(written: &str) -> BTreeSet<String> {
    written.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// A client that says anything: the same things after the same seed.
struct Anything(u64);

impl Anything {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self) -> String {
        let tail = ["", "\"", "\n", "\\", "{}", "é", "\0"][self.number() as usize % 7];
        format!("{MARK}{:x}{tail}", self.number())
    }

    /// One value that a client chooses, and what the gateway makes of it.
    fn happen(&mut self, table: &Arc<Table>, routes: &[u32]) {
        let text = self.text();
        let route = routes[self.number() as usize % routes.len()];
        match self.number() % 20 {
            // Any number, by anybody.
            0..6 => self.ask(table, self.0 as u32, Payload::None, &[]),
            // A reason that a service makes of what it was told.
            6..14 => {
                let code = Code::ALL[1 + self.number() as usize % 16];
                let failure = Failure::backend(code, Some(text.clone()), text, Vec::new());
                table.route(route).expect("it is one of the table's").counters.of(WorkerId(0)).count(Err(&failure));
            }
            // A route that is there, and a payload that is anything.
            14..16 => self.ask(table, route, Payload::Json(&serde_json::json!(text).to_string()), &[]),
            // The echo, which is admitted, and given up at once.
            16 => self.ask(table, 9001, Payload::Json(&serde_json::json!({ "text": text }).to_string()), &[]),
            17 => self.ask(table, 9001, Payload::Proto(text.as_bytes()), &[(text.as_str(), text.as_str())]),
            // A token that says anything, or is none.
            18 => {
                let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
                let claims = serde_json::json!({ "iss": text, "sub": text, "aud": text, "exp": self.number(), text.clone(): text });
                let token = format!("{}.{}.{text}", part(serde_json::json!({ "alg": "ES256", "kid": text })), part(claims));
                assert!(table.verifier.verify(&token, UNIX_EPOCH).is_err());
            }
            _ => assert!(table.verifier.verify(&text, UNIX_EPOCH).is_err()),
        }
    }

    /// Somebody asks, under a name and from an address that may be any.
    fn ask(&mut self, table: &Arc<Table>, protocol: u32, payload: Payload<'_>, metadata: &[(&str, &str)]) {
        let peer = IpAddr::V6(Ipv6Addr::from_bits(self.number().into()));
        let mut caller = Caller::new(ConnectionId(self.number()), WorkerId(0), peer);
        if self.number().is_multiple_of(2) {
            let identity = Identity {
                user: self.text().into(),
                roles: vec![self.text().into()],
                token_id: Some(self.text().into()),
                issued_ms: 0,
                expires: UNIX_EPOCH,
                token: None,
                api_key: None,
            };
            caller.refresh(Arc::new(identity));
        }
        let (topic, key) = (self.text(), self.text());
        let envelope = Envelope {
            protocol,
            id: self.0 as u32,
            payload,
            topic: topic.into(),
            idempotency_key: key.into(),
            metadata: metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Envelope::default()
        };
        let codec = if matches!(payload, Payload::Proto(_)) { Codec::Proto } else { Codec::Json };
        // What is admitted and never run has ended as well.
        drop(dispatch::admit(table, &mut caller, codec, &envelope, Instant::now()));
    }
}

#[tokio::test]
async fn a_million_values_that_clients_choose_make_no_series() {
    let admin = admin();
    let table = admin.reloader.reader().load();
    let routes: Vec<u32> = table.routes().map(|route| route.number.0).collect();
    // Every way to end, of every route and of what is not routed, is seen once: that is all there can be, whoever asks.
    let mut anything = Anything(0x9e37_79b9_7f4a_7c15);
    for (_, counters) in counted(&admin, &table) {
        let counters = counters.of(WorkerId(0));
        Code::ALL[1..].iter().for_each(|code| counters.count(Err(&Failure::backend(*code, None, String::new(), Vec::new()))));
        Reason::ALL.iter().for_each(|reason| counters.count(Err(&Failure::gateway(*reason, ""))));
        counters.bytes.add(1, 1);
    }
    anything.ask(&table, 9001, Payload::Json("{}"), &[]);
    let before = written(&admin);
    for _ in 0..1_000_000 {
        anything.happen(&table, &routes);
    }
    let after = written(&admin);
    assert_ne!(before, after, "it was counted");
    let (before, new) = (series(&before), series(&after));
    assert_eq!(new.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(before.len(), new.len());
    assert!(!after.contains(MARK), "nothing of what was chosen is shown");
    let calls: u64 = counted(&admin, &table).map(|(_, counters)| counters.sum().calls()).sum();
    assert!(calls > 900_000, "{calls} were counted");
}
