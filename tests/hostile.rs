//! Clients that break the rules, over bare TCP: each is answered as the contract says, and the gateway lives on for everybody else.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use protogate::wire::{Codec, Envelope, Payload, number, v1};
use tokio::time::Instant;

use crate::support::{ECHO, PATIENCE, TestGateway};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client that may do anything.
struct Raw {
    stream: TcpStream,
}

/// A route whose backend takes connections and never says a word.
const SILENT: u32 = 9101;

/// A request that is sound but for what a test adds or leaves out.
const HANDSHAKE: &[(&str, &str)] = &[
    ("Host", "gateway.example"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Protocol", "protogate.v1.proto"),
];

// === impl Raw ===

impl Raw {
    fn connect(edge: SocketAddr) -> Raw {
        let stream = TcpStream::connect(edge).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream }
    }

    /// Connected, greeted, and speaking binary.
    fn open(edge: SocketAddr) -> Raw {
        Raw::open_with(edge, &handshake("", &[]))
    }

    fn open_with(edge: SocketAddr, request: &str) -> Raw {
        let mut raw = Raw::connect(edge);
        raw.send(request.as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let (first, hello) = raw.read_frame().expect("Hello comes first");
        assert_eq!(first, BINARY);
        assert_eq!(Codec::Proto.decode(&hello).unwrap().protocol, number::HELLO);
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        // A gateway that has closed already has said so, and the answer is what a test looks at.
        _ = self.stream.write_all(bytes);
    }

    fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read_exact::<1>().expect("a whole head")[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn read_exact<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    /// The next frame: its first byte and its payload. Nothing at the end of the stream.
    fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, length] = self.read_exact()?;
        assert_eq!(first & 0x70, 0, "no extension is used");
        let length = match length {
            126 => usize::from(u16::from_be_bytes(self.read_exact()?)),
            127 => usize::try_from(u64::from_be_bytes(self.read_exact()?)).unwrap(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        Some((first, payload))
    }

    /// Reads on to the Close frame, answers it, and sees the stream end. Goodbye came before it and said the same.
    fn assert_closed_with(mut self, code: u16) {
        let mut goodbye = None;
        loop {
            match self.read_frame().expect("a Close frame comes before the end") {
                (CLOSE, payload) => {
                    assert_eq!(u16::from_be_bytes([payload[0], payload[1]]), code, "{}", String::from_utf8_lossy(&payload[2..]));
                    break;
                }
                (BINARY, payload) => {
                    let envelope = Codec::Proto.decode(&payload).unwrap();
                    if let (number::GOODBYE, Payload::Proto(bytes)) = (envelope.protocol, envelope.payload) {
                        goodbye = Some(<v1::Goodbye as prost::Message>::decode(bytes).unwrap());
                    }
                }
                _ => {}
            }
        }
        assert_eq!(goodbye.expect("Goodbye comes before Close").code, u32::from(code));
        self.send(&frame(CLOSE, &code.to_be_bytes()));
        self.assert_end();
    }

    fn assert_end(mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(rest, b"", "nothing follows"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    /// Calls echo, and hears it.
    fn assert_works(&mut self) {
        self.send(&frame(BINARY, &echo(7, "hi")));
        let answer = self.read_envelope();
        assert_eq!(answer, (9001, 7, None));
    }

    /// The next envelope but for heartbeats: protocol, id, reason of its failure.
    fn read_envelope(&mut self) -> (u32, u32, Option<String>) {
        loop {
            let (first, payload) = self.read_frame().expect("an answer");
            if first == BINARY {
                let envelope = Codec::Proto.decode(&payload).unwrap();
                if envelope.protocol == number::PING {
                    continue;
                }
                return (envelope.protocol, envelope.id, envelope.status.map(|status| status.reason));
            }
        }
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => frame.extend([0xfe, (length >> 8) as u8, length as u8]),
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    frame
}

fn envelope(protocol: u32, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::Proto.encode(&Envelope { protocol, id, payload: Payload::Proto(payload), ..Envelope::default() }, &mut out);
    out
}

fn echo(id: u32, text: &str) -> Vec<u8> {
    envelope(9001, id, &[&[0x0a, text.len() as u8], text.as_bytes()].concat())
}

/// The sound request with the header `name` replaced by `values`.
fn handshake(name: &str, values: &[&str]) -> String {
    let kept = HANDSHAKE.iter().filter(|(key, _)| !key.eq_ignore_ascii_case(name)).copied();
    let lines = kept.chain(values.iter().map(|value| (name, *value))).map(|(key, value)| format!("{key}: {value}\r\n"));
    format!("GET /ws HTTP/1.1\r\n{}\r\n", lines.collect::<String>())
}

/// A gateway with [`SILENT`], and the backend, which is silent as long as it is kept.
fn with_silent_backend() -> (TestGateway, TcpListener) {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap();
    let with = format!("backends: {{ silent: {{ grpc: {{ endpoints: [\"http://{address}\"] }} }}, echo:");
    let route = format!("  {SILENT}: {{ name: silent, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, backend: silent }}\n");
    (TestGateway::start(&(ECHO.replace("backends: { echo:", &with) + &route)), backend)
}

/// What is answered to a request: the status, and all of it.
fn answer_to(edge: SocketAddr, request: &str) -> (u16, String) {
    let mut raw = Raw::connect(edge);
    raw.send(request.as_bytes());
    let mut answer = Vec::new();
    _ = raw.stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

#[test]
fn a_sloppy_handshake_is_refused_with_one_answer() {
    let gateway = TestGateway::start(ECHO);
    for (name, values, status) in [
        ("Host", &[][..], 400),
        ("Host", &["a", "b"], 400),
        ("Connection", &["keep-alive"], 400),
        ("Upgrade", &["h2c"], 400),
        ("Sec-WebSocket-Key", &[], 400),
        ("Sec-WebSocket-Key", &["c2hvcnQ="], 400),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="], 400),
        ("Sec-WebSocket-Version", &[], 426),
        ("Sec-WebSocket-Version", &["8"], 426),
        ("Sec-WebSocket-Protocol", &[], 400),
        ("Sec-WebSocket-Protocol", &["graphql-ws"], 400),
        ("Content-Length", &["42"], 400),
        ("Transfer-Encoding", &["chunked"], 400),
        ("Origin", &["https://evil.example"], 403),
        ("Origin", &["null"], 403),
        ("Origin", &["https://gateway.example.evil.example"], 403),
    ] {
        // A second request right behind the first must not be read as one.
        let request = format!("{}GET / HTTP/1.1\r\nHost: x\r\n\r\n", handshake(name, values));
        let (answered, text) = answer_to(gateway.edge(), &request);
        assert_eq!(answered, status, "{name}: {values:?}\n{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    }
    for line in ["POST /ws HTTP/1.1", "GET /ws HTTP/1.0", "GET /elsewhere HTTP/1.1", "GET /ws HTTP/1.1x", "nonsense"] {
        let (status, text) = answer_to(gateway.edge(), &handshake("", &[]).replace("GET /ws HTTP/1.1", line));
        assert!([400, 404, 0].contains(&status), "{line}\n{text}");
    }
    Raw::open(gateway.edge()).assert_works();
}

#[test]
fn a_browser_that_looks_in_is_told_how_to_connect() {
    let gateway = TestGateway::start(ECHO);
    let (status, page) = answer_to(gateway.edge(), "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n");
    assert_eq!(status, 200);
    assert!(page.contains("<!doctype html>") && page.contains("protogate.v1.json"), "{page}");
}

#[test]
fn a_head_that_is_too_long_is_refused_and_one_that_drips_is_cut() {
    let gateway = TestGateway::start(ECHO);
    let began = Instant::now();
    let half: Vec<Raw> = (0..50)
        .map(|count| {
            let mut raw = Raw::connect(gateway.edge());
            raw.send(&b"GET /ws HTT"[..count % 12]);
            raw
        })
        .collect();
    let (status, _) = answer_to(gateway.edge(), &handshake("Cookie", &["x".repeat(64 << 10).as_str()]));
    assert!([431, 0].contains(&status), "{status}");
    let (status, _) = answer_to(gateway.edge(), &handshake("", &[]).replace("/ws", &"/x".repeat(32 << 10)));
    assert!([414, 431, 0].contains(&status), "{status}");
    let many: Vec<String> = (0..200).map(|count| count.to_string()).collect();
    let (status, _) = answer_to(gateway.edge(), &handshake("X-Many", &many.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!([431, 0].contains(&status), "{status}");
    Raw::open(gateway.edge()).assert_works();
    for mut raw in half {
        // Some are told 408 or 400 before they are cut; all are cut.
        _ = raw.stream.read_to_end(&mut Vec::new()).map_err(|error| assert_eq!(error.kind(), ErrorKind::ConnectionReset));
    }
    assert!(began.elapsed() < PATIENCE, "cut after {:?}", began.elapsed());
}

#[test]
fn frames_that_break_rfc_6455_close_the_socket() {
    let gateway = TestGateway::start(ECHO);
    let unmasked = [&[BINARY, 3][..], b"abc"].concat();
    let frames: &[(&str, Vec<u8>, u16)] = &[
        ("no mask", unmasked, 1002),
        ("compression", frame(0xc2, b"x"), 1002),
        ("reserved opcode", frame(0x83, b""), 1002),
        ("long ping", frame(PING, &[0; 126]), 1002),
        ("fragmented ping", frame(0x09, b""), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        ("message in a message", [frame(0x02, b"x"), frame(BINARY, b"y")].concat(), 1002),
        ("length in a longer form", vec![BINARY, 0xfe, 0, 5], 1002),
        ("length of 2^63", vec![BINARY, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("half a close code", frame(CLOSE, &[3]), 1002),
        ("close code 1005", frame(CLOSE, &1005u16.to_be_bytes()), 1002),
        ("close reason that is no text", frame(CLOSE, &[3, 0xe8, 0xff]), 1007),
        ("text that is no text", frame(TEXT, &[0xc0, 0x80]), 1007),
        ("text that ends inside a character", frame(TEXT, &[0xe2, 0x82]), 1007),
        ("a declared length beyond the limit", [&[BINARY, 0xff][..], &(64u64 << 20).to_be_bytes(), &MASK].concat(), 1009),
    ];
    for (what, bytes, code) in frames {
        println!("{what}");
        let mut raw = Raw::open(gateway.edge());
        raw.send(bytes);
        raw.assert_closed_with(*code);
    }
    let mut early = Raw::open(gateway.edge());
    early.send(&[0x01, 0x85, 0, 0, 0, 0, 0xf4, 0x90]);
    early.assert_closed_with(1007);
    Raw::open(gateway.edge()).assert_works();
}

#[test]
fn a_close_is_answered_and_what_follows_it_is_not() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&[frame(CLOSE, &4123u16.to_be_bytes()), frame(BINARY, &echo(1, "hi"))].concat());
    assert_eq!(raw.read_frame(), Some((CLOSE, 4123u16.to_be_bytes().to_vec())));
    raw.assert_end();
}

#[test]
fn a_message_without_end_is_cut_at_the_limit() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&frame(0x02, &[0; 1000]));
    let part = frame(0x00, &[0; 4000]);
    let mut sent = 0;
    while sent < 400 << 20 && raw.stream.write_all(&part).is_ok() {
        sent += part.len();
    }
    assert!(sent < 64 << 20, "sent {sent} bytes of one message");
    let mut polite = Raw::open(gateway.edge());
    polite.send(&[frame(0x02, &[0; 1000]), frame(0x00, &vec![0; 256 << 10])].concat());
    polite.assert_closed_with(1009);
}

#[test]
fn floods_of_tiny_frames_are_cut() {
    let gateway = TestGateway::start(ECHO);
    for (what, flood) in [
        ("empty fragments", [frame(0x02, b""), frame(0x00, b"").repeat(100_000)].concat()),
        ("tiny fragments", [frame(0x02, b"x"), frame(0x00, b"y").repeat(10_000)].concat()),
        ("pings", frame(PING, b"?").repeat(100_000)),
        ("pongs", frame(PONG, b"!").repeat(100_000)),
    ] {
        println!("{what}");
        let mut raw = Raw::open(gateway.edge());
        raw.send(&flood);
        raw.assert_closed_with(1008);
    }
}

#[test]
fn a_flood_that_is_never_read_costs_little_and_ends() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let pings = frame(BINARY, &envelope(number::PING, 1, &[0x08, 1])).repeat(1000);
    let began = Instant::now();
    // Reading pauses when the outbox is half full, so at some point the kernel takes no more of the flood.
    while raw.stream.write_all(&pings).is_ok() && began.elapsed() < PATIENCE * 3 {}
    assert!(began.elapsed() < PATIENCE * 3);
    Raw::open(gateway.edge()).assert_works();
}

#[test]
fn what_is_no_envelope_is_answered_and_the_socket_stays_open() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&frame(BINARY, &[0xff; 10]));
    assert_eq!(raw.read_envelope(), (0, 0, Some("INVALID_MESSAGE".to_owned())));
    raw.send(&frame(TEXT, b"{}"));
    assert_eq!(raw.read_envelope(), (0, 0, Some("INVALID_MESSAGE".to_owned())));
    raw.send(&frame(BINARY, &envelope(999, 3, b"")));
    assert_eq!(raw.read_envelope(), (999, 3, Some("UNKNOWN_PROTOCOL".to_owned())));
    raw.send(&frame(BINARY, &envelope(number::SUBSCRIBE, 4, b"")));
    assert_eq!(raw.read_envelope(), (number::SUBSCRIBE, 4, Some("UNAUTHENTICATED".to_owned())));
    raw.send(&frame(BINARY, &envelope(12345, 5, b"")));
    assert_eq!(raw.read_envelope(), (12345, 5, Some("UNKNOWN_PROTOCOL".to_owned())));
    raw.send(&frame(BINARY, &envelope(number::STREAM, 6, b"")));
    raw.assert_works();
}

#[test]
fn fields_that_nobody_knows_pass_or_are_refused_as_the_route_says() {
    let strict = "  9102: { name: strict, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, unknown_fields: reject }\n";
    let gateway = TestGateway::start(&(ECHO.to_owned() + strict));
    let mut raw = Raw::open(gateway.edge());
    // Field 15, a number.
    for (number, reason) in [(9001, None), (9102, Some("INVALID_MESSAGE".to_owned()))] {
        raw.send(&frame(BINARY, &envelope(number, 3, &[0x0a, 1, b'x', 0x78, 7])));
        assert_eq!(raw.read_envelope(), (number, 3, reason));
    }
    raw.send(&frame(BINARY, &envelope(9001, 4, &[0x78, 7].repeat(65))));
    assert_eq!(raw.read_envelope(), (9001, 4, Some("INVALID_MESSAGE".to_owned())), "not more than 64");
}

#[test]
fn a_hundred_refusals_are_enough() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&frame(BINARY, &envelope(12345, 1, b"")).repeat(99));
    (0..99).for_each(|_| assert_eq!(raw.read_envelope().2.as_deref(), Some("UNKNOWN_PROTOCOL")));
    raw.assert_works();
    raw.send(&frame(BINARY, &envelope(12345, 1, b"")));
    raw.assert_closed_with(4504);
}

#[test]
fn an_id_in_flight_cannot_be_used_again() {
    let (gateway, _silent) = with_silent_backend();
    let mut raw = Raw::open(gateway.edge());
    raw.send(&frame(BINARY, &envelope(SILENT, 6, b"")).repeat(2));
    assert_eq!(raw.read_envelope(), (SILENT, 6, Some("CONNECTION_CLOSED".to_owned())), "the open call ends before Goodbye");
    raw.assert_closed_with(4503);
}

#[test]
fn calls_have_a_limit_and_can_be_cancelled() {
    let (gateway, _silent) = with_silent_backend();
    let mut raw = Raw::open(gateway.edge());
    let calls: Vec<u8> = (101..=133).flat_map(|id| frame(BINARY, &envelope(SILENT, id, b""))).collect();
    raw.send(&calls);
    assert_eq!(raw.read_envelope(), (SILENT, 133, Some("TOO_MANY_CALLS".to_owned())));
    raw.send(&frame(BINARY, &envelope(number::CANCEL, 0, &[0x08, 104])));
    assert_eq!(raw.read_envelope(), (SILENT, 104, Some("CANCELLED".to_owned())));
    raw.assert_works();
}

#[test]
fn a_gateway_that_stops_answers_what_is_in_flight_and_says_goodbye() {
    let (gateway, _silent) = with_silent_backend();
    let mut busy = Raw::open(gateway.edge());
    let idle = Raw::open(gateway.edge());
    busy.send(&[frame(BINARY, &envelope(SILENT, 6, b"")), frame(BINARY, &echo(7, "hi"))].concat());
    assert_eq!(busy.read_envelope(), (9001, 7, None));
    let stopping = std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(gateway.stop()));
    idle.assert_closed_with(1001);
    busy.send(&frame(BINARY, &echo(8, "late")));
    assert_eq!(busy.read_envelope(), (9001, 8, Some("SHUTDOWN".to_owned())), "no new call is begun");
    // The silent backend's call runs into its own deadline, which is sooner than the gateway's patience.
    assert_eq!(busy.read_envelope().1, 6);
    busy.assert_closed_with(1001);
    stopping.join().unwrap();
}

#[test]
fn the_gateway_itself_speaks_json_on_a_json_connection() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::connect(gateway.edge());
    raw.send(handshake("Sec-WebSocket-Protocol", &["protogate.v1.json"]).as_bytes());
    raw.read_head();
    let mut next = || {
        let (first, text) = raw.read_frame().unwrap();
        assert_eq!(first, TEXT);
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()
    };
    let hello = next();
    assert_eq!((&hello["protocol"], &hello["payload"]["heartbeatMs"]), (&1.into(), &30_000.into()), "{hello}");
    raw.send(&frame(TEXT, br#"{"protocol":6,"id":3,"payload":{"timeMs":"5"}}"#));
    let mut next = || serde_json::from_slice::<serde_json::Value>(&raw.read_frame().unwrap().1).unwrap();
    assert_eq!(next(), serde_json::json!({"protocol": 7, "id": 3, "payload": {"timeMs": "5"}}));
    raw.send(&frame(TEXT, br#"{"protocol":2,"id":4,"payload":{"token":"x","tokn":"y"}}"#));
    let mut next = || serde_json::from_slice::<serde_json::Value>(&raw.read_frame().unwrap().1).unwrap();
    assert_eq!(next()["status"]["reason"], "INVALID_MESSAGE");
}

#[test]
fn a_client_that_stops_reading_is_closed() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let text = "x".repeat(20_000);
    let length = [0x80 | (text.len() & 0x7f) as u8, 0x80 | (text.len() >> 7 & 0x7f) as u8, (text.len() >> 14) as u8];
    let calls = frame(BINARY, &envelope(9001, 0, &[&[0x0a], &length[..], text.as_bytes()].concat()));
    while raw.stream.write_all(&calls).is_ok() {}
    let began = Instant::now();
    // Nothing is read until the gateway has given up; then the end is all that comes behind what was in the buffers.
    while raw.stream.write_all(b"").is_ok() && raw.stream.take_error().unwrap().is_none() && began.elapsed() < Duration::from_secs(13) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let mut rest = Vec::new();
    _ = raw.stream.read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(20), "closed after {:?}", began.elapsed());
    assert!(rest.len() < 16 << 20, "{} bytes were waiting", rest.len());
}

#[test]
fn messages_in_any_pieces_and_in_bulk_are_answered() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    for byte in frame(BINARY, &echo(1, "byte by byte")) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.read_envelope(), (9001, 1, None));
    let bulk: Vec<u8> = (1..=30).flat_map(|id| frame(BINARY, &echo(id, "bulk"))).collect();
    raw.send(&bulk);
    let mut ids: Vec<u32> = (0..30).map(|_| raw.read_envelope().1).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=30).collect::<Vec<_>>());
}

#[test]
fn frames_behind_the_handshake_are_not_lost() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::connect(gateway.edge());
    raw.send(&[handshake("", &[]).as_bytes(), &frame(BINARY, &echo(5, "early"))].concat());
    raw.read_head();
    assert_eq!(raw.read_envelope().0, number::HELLO);
    assert_eq!(raw.read_envelope(), (9001, 5, None));
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let gateway = TestGateway::start(ECHO);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&[frame(PING, b"one"), frame(PING, b"two")].concat());
    assert_eq!(raw.read_frame(), Some((PONG, b"one".to_vec())));
    assert_eq!(raw.read_frame(), Some((PONG, b"two".to_vec())));
}

#[test]
fn a_bad_token_is_told_after_the_handshake() {
    let gateway = TestGateway::start(ECHO);
    Raw::open_with(gateway.edge(), &handshake("Authorization", &["Bearer nonsense"])).assert_closed_with(4500);
    Raw::open_with(gateway.edge(), &handshake("Sec-WebSocket-Protocol", &["protogate.v1.proto, protogate.bearer.bm9uc2Vuc2U"]))
        .assert_closed_with(4500);
    let mut raw = Raw::open(gateway.edge());
    raw.send(&frame(BINARY, &envelope(number::AUTHENTICATE, 9, &[0x0a, 1, b'x'])));
    assert_eq!(raw.read_envelope(), (number::AUTHENTICATE, 9, Some("INVALID_TOKEN".to_owned())));
    raw.assert_closed_with(4500);
}

#[test]
fn a_good_token_makes_the_caller_known_and_is_not_echoed() {
    let gateway = TestGateway::start(ECHO);
    let token = gateway.token("alice", &["player"]);
    let request = handshake("Authorization", &[&format!("Bearer {token}")]);
    let mut raw = Raw::connect(gateway.edge());
    raw.send(request.as_bytes());
    let head = raw.read_head();
    assert!(!head.contains(&token) && !head.contains("bearer"), "{head}");
    assert_eq!(raw.read_envelope().0, number::HELLO);
    assert_eq!(raw.read_envelope(), (number::READY, 0, None));

    let message = [&[0x0a, 0x80 | (token.len() & 0x7f) as u8, (token.len() >> 7) as u8][..], token.as_bytes()].concat();
    raw.send(&frame(BINARY, &envelope(number::REFRESH_TOKEN, 3, &message)));
    assert_eq!(raw.read_envelope(), (number::REFRESH_TOKEN, 3, None));
    let other = gateway.token("mallory", &["player"]);
    let message = [&[0x0a, 0x80 | (other.len() & 0x7f) as u8, (other.len() >> 7) as u8][..], other.as_bytes()].concat();
    raw.send(&frame(BINARY, &envelope(number::REFRESH_TOKEN, 4, &message)));
    assert_eq!(raw.read_envelope(), (number::REFRESH_TOKEN, 4, Some("INVALID_TOKEN".to_owned())));
    raw.assert_works();
}

#[test]
fn an_address_has_a_limit_and_the_rest_is_told() {
    let gateway = TestGateway::start(ECHO);
    let mut open: Vec<Raw> = (0..256).map(|_| Raw::open(gateway.edge())).collect();
    let (status, text) = answer_to(gateway.edge(), &handshake("", &[]));
    assert_eq!(status, 429, "{text}");
    assert!(text.to_ascii_lowercase().contains("retry-after: "), "{text}");
    open.pop();
    let began = Instant::now();
    // The seat is free when the gateway has seen the end of the stream, which is soon but not at once.
    while answer_status(gateway.edge()) != 101 {
        assert!(began.elapsed() < PATIENCE);
    }
    open[0].assert_works();
}

/// The status of a sound handshake.
fn answer_status(edge: SocketAddr) -> u16 {
    let mut raw = Raw::connect(edge);
    raw.send(handshake("", &[]).as_bytes());
    raw.read_head().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}
