//! The decoder against a naive one that sees the whole stream at once, and the rules of RFC 6455 one by one.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_bytes_max: 300, now: Tick::ZERO };
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, PartialEq, Eq, Debug)]
enum Heard {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Heard {
        match event {
            Event::Message { text, payload } => Heard::Message(text, payload.to_vec()),
            Event::Ping(payload) => Heard::Ping(payload.to_vec()),
            Event::Pong => Heard::Pong,
            Event::Close(code) => Heard::Close(code),
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

/// Feeds `bytes` in the given pieces; everything is fed again where the receiver pauses.
fn hear_in_pieces(bytes: &[u8], cuts: &[usize], pauses: bool) -> (Vec<Heard>, Option<Close>, Decoder) {
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    let mut at = 0;
    for end in cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]) {
        while at < end {
            let mut piece = bytes[at..end].to_vec();
            let fed = decoder.feed(&mut piece, LIMITS, |event| {
                heard.push(event.into());
                if pauses { Flow::Pause } else { Flow::Continue }
            });
            match fed {
                Ok(used) => at += used,
                Err(violation) => return (heard, Some(violation.close), decoder),
            }
        }
    }
    (heard, None, decoder)
}

fn hear(bytes: &[u8]) -> (Vec<Heard>, Option<Close>) {
    let (heard, close, _) = hear_in_pieces(bytes, &[], false);
    (heard, close)
}

/// What the whole stream means, read once from its start.
fn reference(bytes: &[u8]) -> (Vec<Heard>, Option<Close>) {
    let mut heard = Vec::new();
    let close = reference_until(bytes, &mut heard).err();
    (heard, close)
}

fn reference_until(mut rest: &[u8], heard: &mut Vec<Heard>) -> Result<(), Close> {
    let mut open: Option<(bool, Vec<u8>, u16, u16)> = None;
    let mut controls = 0;
    while !rest.is_empty() {
        let (fin, opcode) = (rest[0] & 0x80 != 0, rest[0] & 0x0f);
        let control = opcode >= 8;
        if rest[0] & 0x70 != 0 || !matches!(opcode, 0..=2 | 8..=10) || (control && !fin) {
            return Err(Close::WebSocket);
        }
        let Some(second) = rest.get(1) else { return Ok(()) };
        if second & 0x80 == 0 {
            return Err(Close::WebSocket);
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(digits) = rest.get(2..2 + extended) else { return Ok(()) };
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)),
        };
        let shortest = match length {
            0..126 => 0,
            126..65536 => 2,
            _ => 8,
        };
        if extended != shortest || length >= 1 << 63 || (control && length > 125) {
            return Err(Close::WebSocket);
        }
        let Some(mask) = rest.get(2 + extended..6 + extended) else { return Ok(()) };
        if !control {
            if (opcode == 0) != open.is_some() {
                return Err(Close::WebSocket);
            }
            if length + open.as_ref().map_or(0, |open| open.1.len() as u64) > LIMITS.message_bytes_max as u64 {
                return Err(Close::TooLarge);
            }
        }
        let masked = &rest[6 + extended..];
        let here = masked.len().min(length as usize);
        let payload: Vec<u8> = masked[..here].iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        let complete = here as u64 == length;
        rest = &masked[here..];
        if control {
            if !complete {
                return Ok(());
            }
            controls += 1;
            if controls > 100 {
                return Err(Close::Policy);
            }
            match opcode {
                8 => {
                    heard.push(Heard::Close(reference_close(&payload)?));
                    return Ok(());
                }
                9 => heard.push(Heard::Ping(payload)),
                _ => heard.push(Heard::Pong),
            }
            continue;
        }
        let message = open.get_or_insert((opcode == 1, Vec::new(), 0, 0));
        message.1.extend(payload);
        if message.0 && std::str::from_utf8(&message.1).is_err_and(|error| error.error_len().is_some() || (complete && fin)) {
            return Err(Close::NotUtf8);
        }
        if complete {
            message.2 += 1;
            message.3 += u16::from(length == 0);
            if message.2 > 1024 || message.3 > 16 {
                return Err(Close::Policy);
            }
            if fin {
                let (text, bytes, ..) = open.take().unwrap();
                heard.push(Heard::Message(text, bytes));
            }
        }
    }
    Ok(())
}

fn reference_close(payload: &[u8]) -> Result<Option<u16>, Close> {
    match payload {
        [] => Ok(None),
        [_] => Err(Close::WebSocket),
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => std::str::from_utf8(reason).map(|_| Some(code)).map_err(|_| Close::NotUtf8),
            _ => Err(Close::WebSocket),
        },
    }
}

/// Mostly sound frames, some that are not, and rarely bytes that are no frame.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(prop_oneof![Just(0xe2), Just(0x82), Just(0xac), Just(0xf4), any::<u8>()], 0..6),
    ];
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    let close = (prop_oneof![Just(1000u16), Just(1005), Just(1014), Just(4000), any::<u16>()], "\\PC{0,8}")
        .prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat());
    prop_oneof![
        8 => (prop_oneof![Just(0x81u8), Just(0x01)], text.clone()).prop_map(|(first, payload)| frame(first, &payload)),
        8 => (prop_oneof![Just(0x82u8), Just(0x02)], data.clone()).prop_map(|(first, payload)| frame(first, &payload)),
        8 => (prop_oneof![Just(0x80u8), Just(0x00)], prop_oneof![text, data.clone()]).prop_map(|(first, payload)| frame(first, &payload)),
        4 => (prop_oneof![Just(0x89u8), Just(0x8a)], proptest::collection::vec(any::<u8>(), 0..130)).prop_map(|(first, payload)| frame(first, &payload)),
        1 => close.prop_map(|payload| frame(0x88, &payload)),
        1 => (any::<u8>(), data).prop_map(|(first, payload)| frame(first, &payload)),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_stream_cut_anywhere_means_what_it_means_whole(
        frames in proptest::collection::vec(any_frame(), 0..12),
        mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        every_byte in any::<bool>(),
        pauses in any::<bool>(),
    ) {
        let bytes = frames.concat();
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len() + 1)).collect();
        if every_byte {
            cuts = (0..bytes.len()).collect();
        }
        cuts.sort_unstable();
        let (heard, close, decoder) = hear_in_pieces(&bytes, &cuts, pauses);
        let (heard_whole, close_whole) = reference(&bytes);
        prop_assert_eq!(heard, heard_whole);
        prop_assert_eq!(close, close_whole);
        if close.is_some() {
            prop_assert_eq!(decoder.held_bytes(), 0);
        }
    }
}

#[test]
fn nothing_is_held_between_messages() {
    let message = [frame(0x02, &[7; 100]), frame(0x89, b"?"), frame(0x80, &[8; 200])].concat();
    for cut in 0..message.len() {
        let mut decoder = Decoder::default();
        decoder.feed(&mut message[..cut].to_vec(), LIMITS, |_| Flow::Continue).unwrap();
        assert_eq!(decoder.held_bytes() > 0, cut > 0, "after {cut} bytes");
        assert!(decoder.held_bytes() <= 2 * cut + size_of::<Partial>() + 8, "holds {} after {cut} bytes", decoder.held_bytes());
        decoder.feed(&mut message[cut..].to_vec(), LIMITS, |_| Flow::Continue).unwrap();
        assert_eq!(decoder.held_bytes(), 0);
        assert_eq!(decoder.partial_since(), None);
    }
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut decoder = Decoder::default();
    let limits = Limits { message_bytes_max: 1 << 30, now: Tick::ZERO };
    let mut head = [&[0x82, 0xff][..], &(1u64 << 29).to_be_bytes(), &MASK, &[0; 10]].concat();
    decoder.feed(&mut head, limits, |_| Flow::Continue).unwrap();
    assert!(decoder.held_bytes() < 256);
}

#[test]
fn a_message_of_exactly_the_limit_is_heard_and_one_byte_more_is_not() {
    assert_eq!(hear(&frame(0x82, &[1; 300])), (vec![Heard::Message(false, vec![1; 300])], None));
    assert_eq!(hear(&frame(0x82, &[1; 301])).1, Some(Close::TooLarge));
    let split = |last: usize| [frame(0x02, &[1; 150]), frame(0x00, &[1; 100]), frame(0x80, &vec![1; last])].concat();
    assert_eq!(hear(&split(50)), (vec![Heard::Message(false, vec![1; 300])], None));
    assert_eq!(hear(&split(51)).1, Some(Close::TooLarge));
}

#[test]
fn a_violation_is_found_at_the_first_byte_that_proves_it() {
    for (bytes, close) in [
        (&[0xc2][..], Close::WebSocket), // reserved bit: compression nobody agreed on
        (&[0x83], Close::WebSocket),     // reserved opcodes
        (&[0x8b], Close::WebSocket),
        (&[0x09], Close::WebSocket),                                     // fragmented ping
        (&[0x82, 0x05], Close::WebSocket),                               // no mask
        (&[0x82, 0xfe, 0, 125], Close::WebSocket),                       // 125 in three bytes
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Close::WebSocket), // 65535 in nine
        (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Close::WebSocket),    // 2^63
        (&[0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Close::TooLarge),
        (&[0x89, 0xfe, 0, 126], Close::WebSocket),                             // ping of 126 bytes
        (&[0x80, 0x80, 0, 0, 0, 0], Close::WebSocket),                         // continuation of nothing
        (&[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], Close::WebSocket), // text inside text
        (&[0x01, 0x85, 0, 0, 0, 0, 0xf4, 0x90], Close::NotUtf8),               // beyond U+10FFFF, three bytes before the frame's end
        (&[0x81, 0x82, 0, 0, 0, 0, 0xe2, 0x82], Close::NotUtf8),               // ends inside a character
        (&[0x88, 0x81, 0, 0, 0, 0, 3], Close::WebSocket),                      // half a close code
        (&[0x88, 0x82, 0, 0, 0, 0, 3, 0xed], Close::WebSocket),                // 1005
        (&[0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff], Close::NotUtf8),            // reason that is no text
    ] {
        assert_eq!(hear(bytes), (vec![], Some(close)), "{bytes:x?}");
        let (heard, none) = hear(&bytes[..bytes.len() - 1]);
        assert!(heard.is_empty() && none.is_none(), "one byte less of {bytes:x?}");
    }
}

#[test]
fn nothing_is_heard_after_a_close() {
    let bytes = [frame(0x88, &[3, 0xe8]), frame(0x82, b"more"), vec![0xff; 9]].concat();
    assert_eq!(hear(&bytes), (vec![Heard::Close(Some(1000))], None));
}

#[test]
fn a_decoder_that_discards_hears_the_close_wherever_it_comes() {
    let bytes = [frame(0x02, &[7; 100]), frame(0x80, &[7; 60_000]), frame(0x80, b"?"), frame(0x88, &[3, 0xe8])].concat();
    for cut in [0, 1, 50, 106, 110, 200] {
        let mut decoder = Decoder::default();
        let mut heard: Vec<Heard> = Vec::new();
        decoder.feed(&mut bytes[..cut].to_vec(), Limits { message_bytes_max: 100_000, ..LIMITS }, |_| Flow::Continue).unwrap();
        decoder.discard_messages();
        for piece in bytes[cut..].chunks(1000) {
            let mut hear = |event: Event<'_>| {
                heard.push(event.into());
                Flow::Continue
            };
            decoder.feed(&mut piece.to_vec(), LIMITS, &mut hear).unwrap();
            assert!(decoder.held_bytes() < 256);
        }
        assert_eq!(heard, [Heard::Close(Some(1000))]);
    }
}

#[test]
fn floods_are_cut() {
    let fragments = |count: usize, payload: &[u8]| [frame(0x02, b"x"), frame(0x00, payload).repeat(count)].concat();
    assert_eq!(hear(&fragments(299, b"y")).1, None);
    assert_eq!(hear(&fragments(17, b"")).1, Some(Close::Policy));
    assert_eq!(hear(&frame(0x89, b"?").repeat(100)).0.len(), 100);
    assert_eq!(hear(&frame(0x89, b"?").repeat(101)).1, Some(Close::Policy));

    let mut decoder = Decoder::default();
    let limits = Limits { message_bytes_max: 1 << 20, now: Tick::ZERO };
    assert!(decoder.feed(&mut fragments(1023, b"y"), limits, |_| Flow::Continue).is_ok());
    assert!(decoder.feed(&mut frame(0x00, b"y"), limits, |_| Flow::Continue).is_err());
}

#[test]
fn a_second_later_pings_are_welcome_again() {
    let mut decoder = Decoder::default();
    let mut tick = Tick::ZERO;
    for _ in 0..5 {
        let limits = Limits { message_bytes_max: 300, now: tick };
        assert!(decoder.feed(&mut frame(0x89, b"?").repeat(100), limits, |_| Flow::Continue).is_ok());
        tick = tick.after(Duration::from_secs(1));
    }
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 24);
}
