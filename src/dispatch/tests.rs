//! One call, one answer, one line in the log, whatever becomes of it.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;
use tracing::level_filters::LevelFilter;

use super::*;
use crate::config::Environment;
use crate::failure::Code;
use crate::id::ConnectionId;
use crate::proto::Pools;
use crate::push::Hub;
use crate::reload::desk::Desk;
use crate::reload::{Inputs, Origin, Reloader, check};
use crate::services::builtins_in_memory;
use crate::session::Sessions;
use crate::table::compile::Context;
use crate::table::link::{Cells, Living};
use crate::telemetry::log::Format;
use crate::telemetry::log::tests::lines;
use crate::wire::Payload;

/// The table of the shipped routes: 9001 is the built-in echo, open to everybody.
fn shipped() -> Arc<Table> {
    let inputs = Inputs {
        origin: Origin::Shipped,
        environment: Environment::Development,
        variables: Box::new(|_| None),
        context: Context::default(),
    };
    let pools = Pools::default();
    let mut checked = check(&inputs, None, &pools);
    let builtins = Arc::new(builtins_in_memory());
    let sessions = Sessions::for_tests();
    let living = Living::new(builtins, sessions.clone(), Hub::for_tests(&sessions), Cells::default(), Arc::default(), 1);
    Reloader::start(Desk::open().unwrap(), inputs, pools, &mut checked, living).reader().load()
}

fn anonymous() -> Caller {
    Caller::new(ConnectionId(1), WorkerId(0), IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn echo(table: &Arc<Table>) -> Call {
    let envelope = Envelope { protocol: 9001, id: 7, payload: Payload::Json(r#"{"text":"hi"}"#), ..Envelope::default() };
    admit(table, &mut anonymous(), Codec::Json, &envelope, Instant::now()).unwrap()
}

#[tokio::test]
async fn a_panic_in_a_call_is_an_internal_answer() {
    let failing = async { if true { panic!("boom") } else { Ok(()) } };
    let failure = contained(failing).await.unwrap_err();
    assert_eq!((failure.code(), failure.reason()), (Code::Internal, "INTERNAL"));
    assert_eq!(failure.cause(), Some("boom"), "the log learns why");
    assert!(!failure.message().contains("boom"), "the client does not");
    let failure = caught(|| if true { panic!("boom") } else { Ok(()) }).unwrap_err();
    assert_eq!((failure.code(), failure.cause()), (Code::Internal, Some("boom")));
}

#[tokio::test]
async fn a_call_that_is_given_up_is_in_the_log() {
    let table = shipped();
    let logged = |speak: &dyn Fn()| -> Vec<Value> {
        let lines = lines(Format::Json, LevelFilter::INFO, speak);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let unpolled = logged(&|| drop(echo(&table).run()));
    let waiting = logged(&|| assert!(echo(&table).run().now_or_never().is_none(), "the echo lives on another task"));
    for lines in [unpolled, waiting] {
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["code"], &lines[0]["route"], &lines[0]["id"]), (&"CANCELLED".into(), &"echo".into(), &7.into()));
        assert_eq!(lines[0]["backend"], "echo", "the one that was chosen");
    }
}
