//! RFC 6455 frames in, messages out: the read side as a pure state machine.
//!
//! [`Decoder::feed`] takes bytes as they came, unmasks them in place and delivers what is complete. It reads no socket and no clock, so a
//! read that is given up half-way loses nothing.
//! Promises: a message that lies whole in the fed bytes is delivered without a copy; bytes are kept only while a message is incomplete,
//! and at most twice what came; a length that a client merely declares reserves nothing; every violation is found at the first byte that
//! proves it. No extension is ever negotiated, so a reserved bit is a violation too.

mod head;

use std::time::Duration;

use fastwebsockets::{OpCode, unmask};

pub use self::head::Violation;
use self::head::{HEAD_BYTES_MAX, Head, close_code, is_control};
use super::pulse::Tick;
use crate::wire::Close;

/// Most fragments of one message. Libraries that fragment at all cut at 4 KiB or more, so this is 4 MiB for them and a wall for a flood.
const FRAGMENTS_MAX: u16 = 1024;

/// Most empty fragments of one message: they carry nothing, and a few are all that any test suite sends.
const EMPTY_FRAGMENTS_MAX: u16 = 16;

/// Most control frames in one second. Clients ping about twice a minute; RFC 6455 test suites send bursts of ten.
const CONTROLS_MAX: u16 = 100;

/// What the decoder is told with every feed, because it may change between two.
#[derive(Clone, Copy)]
pub struct Limits {
    pub message_bytes_max: usize,
    pub now: Tick,
}

/// What arrived.
#[derive(PartialEq, Eq, Debug)]
pub enum Event<'a> {
    Message {
        text: bool,
        payload: &'a [u8],
    },
    Ping(&'a [u8]),
    Pong,
    /// The client's goodbye, with its code unless it gave none. Nothing is delivered after it.
    Close(Option<u16>),
}

/// What the receiver of an event says to the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// Not now: the rest of the bytes is to be fed again later.
    Pause,
}

/// The state between two reads. Two words and a counter while nothing is incomplete.
#[derive(Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    controls: u16,
    controls_since: Tick,
    hearing: Hearing,
}

/// How much of what comes is of interest.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hearing {
    #[default]
    All,
    /// Control frames only; messages are neither kept nor bounded.
    Controls,
    Nothing,
}

/// What is incomplete: a head, a frame, a fragmented message, or several of them inside each other.
struct Partial {
    began: Tick,
    /// The first bytes of a head that was cut.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    /// A frame whose payload is still coming, and how much of it came.
    frame: Option<(Head, usize)>,
    /// What came of a control frame's payload.
    control: Vec<u8>,
    /// What came of a message's payload, over all its fragments.
    message: Option<Message>,
}

struct Message {
    text: bool,
    bytes: Vec<u8>,
    /// How many of `bytes` are known to be whole characters; used for text only.
    valid: usize,
    fragments: u16,
    empty_fragments: u16,
}

/// How much of a frame's payload is at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it, in one piece.
    Whole,
    /// What was missing of it.
    Last,
    /// More is to come.
    Part,
}

// === impl Decoder ===

impl Decoder {
    /// Takes bytes as they came and delivers what they complete. Says how many were used: all, unless the receiver paused.
    ///
    /// After a violation the decoder is as deaf as after a Close.
    pub fn feed(&mut self, bytes: &mut [u8], limits: Limits, mut deliver: impl FnMut(Event<'_>) -> Flow) -> Result<usize, Violation> {
        let mut used = 0;
        while used < bytes.len() {
            if self.hearing == Hearing::Nothing {
                return Ok(bytes.len());
            }
            let (step, flow) = self.step(&mut bytes[used..], limits, &mut deliver).inspect_err(|_| self.silence())?;
            used += step;
            if flow == Flow::Pause {
                break;
            }
        }
        Ok(used)
    }

    /// Hears nothing more, and holds nothing more.
    pub fn silence(&mut self) {
        self.hearing = Hearing::Nothing;
        self.partial = None;
    }

    /// Hears no more messages, and holds none: all that is still of interest is whether the client closes.
    pub fn discard_messages(&mut self) {
        if self.hearing == Hearing::All {
            self.hearing = Hearing::Controls;
            if let Some(partial) = &mut self.partial {
                partial.message = None;
            }
        }
    }

    /// When the message that is still incomplete began.
    pub fn partial_since(&self) -> Option<Tick> {
        self.partial.as_ref().map(|partial| partial.began)
    }

    /// Bytes reserved for a message that is still incomplete.
    pub fn held_bytes(&self) -> usize {
        let message = |partial: &Partial| partial.message.as_ref().map_or(0, |message| message.bytes.capacity());
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.control.capacity() + message(partial))
    }

    /// Gets one frame further, or as far as the bytes reach.
    fn step(&mut self, bytes: &mut [u8], limits: Limits, deliver: &mut impl FnMut(Event<'_>) -> Flow) -> Result<(usize, Flow), Violation> {
        let (head, taken, head_bytes) = match self.partial.as_mut().and_then(|partial| partial.frame.take()) {
            Some((head, taken)) => (head, taken, 0),
            None => match self.head(bytes, limits)? {
                Some((head, head_bytes)) => (head, 0, head_bytes),
                None => return Ok((bytes.len(), Flow::Continue)),
            },
        };
        let came = (head.length - taken).min(bytes.len() - head_bytes);
        let payload = &mut bytes[head_bytes..head_bytes + came];
        let mut mask = head.mask;
        mask.rotate_left(taken % 4);
        unmask(payload, mask);

        let extent = match taken + came == head.length {
            true if taken == 0 => Extent::Whole,
            true => Extent::Last,
            false => Extent::Part,
        };
        let flow = if came == 0 && extent == Extent::Part {
            Flow::Continue
        } else if is_control(head.opcode) {
            self.control(head.opcode, payload, extent, limits, deliver)?
        } else {
            self.data(head, payload, extent, limits, deliver)?
        };
        match extent {
            Extent::Part => self.partial(limits.now).frame = Some((head, taken + came)),
            Extent::Whole | Extent::Last => self.tidy(),
        }
        Ok((head_bytes + came, flow))
    }

    /// The next frame's head and how many of `bytes` it took; nothing if they all belong to it and it is still cut.
    fn head(&mut self, bytes: &[u8], limits: Limits) -> Result<Option<(Head, usize)>, Violation> {
        let kept = self.partial.as_ref().map_or(0, |partial| usize::from(partial.head_bytes));
        let found = if kept == 0 {
            Head::parse(bytes)?
        } else {
            let mut joined = [0; HEAD_BYTES_MAX];
            joined[..kept].copy_from_slice(&self.partial(limits.now).head[..kept]);
            let added = bytes.len().min(HEAD_BYTES_MAX - kept);
            joined[kept..kept + added].copy_from_slice(&bytes[..added]);
            Head::parse(&joined[..kept + added])?.map(|(head, size)| (head, size - kept))
        };
        let partial = self.partial.as_deref_mut();
        match found {
            Some((head, _)) => {
                if self.hearing == Hearing::All {
                    admit(&head, partial.as_ref().and_then(|partial| partial.message.as_ref()), limits)?;
                }
                if let Some(partial) = partial {
                    partial.head_bytes = 0;
                }
            }
            None => {
                let partial = self.partial(limits.now);
                partial.head[kept..kept + bytes.len()].copy_from_slice(bytes);
                partial.head_bytes += u8::try_from(bytes.len()).expect("a cut head is shorter than a whole one");
            }
        }
        Ok(found)
    }

    fn control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        extent: Extent,
        limits: Limits,
        deliver: &mut impl FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        if extent == Extent::Whole {
            return self.deliver_control(opcode, payload, limits, deliver);
        }
        let control = &mut self.partial(limits.now).control;
        control.extend_from_slice(payload);
        if extent == Extent::Part {
            return Ok(Flow::Continue);
        }
        let control = std::mem::take(control);
        self.deliver_control(opcode, &control, limits, deliver)
    }

    fn deliver_control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        limits: Limits,
        deliver: &mut impl FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        if limits.now >= self.controls_since.after(Duration::from_secs(1)) {
            self.controls_since = limits.now;
            self.controls = 0;
        }
        self.controls += 1;
        if self.controls > CONTROLS_MAX {
            return Err(Violation::policy("too many control frames in one second"));
        }
        match opcode {
            OpCode::Ping => Ok(deliver(Event::Ping(payload))),
            OpCode::Pong => Ok(deliver(Event::Pong)),
            _ => {
                let code = close_code(payload)?;
                self.silence();
                Ok(deliver(Event::Close(code)))
            }
        }
    }

    fn data(
        &mut self,
        head: Head,
        payload: &[u8],
        extent: Extent,
        limits: Limits,
        deliver: &mut impl FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, Violation> {
        if self.hearing != Hearing::All {
            return Ok(Flow::Continue);
        }
        let opens = head.opcode != OpCode::Continuation;
        if extent == Extent::Whole && head.fin && opens {
            let text = head.opcode == OpCode::Text;
            if text && std::str::from_utf8(payload).is_err() {
                return Err(Violation::TEXT);
            }
            return Ok(deliver(Event::Message { text, payload }));
        }
        let message = self.partial(limits.now).message.get_or_insert_with(|| Message::new(head.opcode == OpCode::Text));
        message.extend(payload)?;
        if extent == Extent::Part {
            return Ok(Flow::Continue);
        }
        message.end_fragment(&head)?;
        if !head.fin {
            return Ok(Flow::Continue);
        }
        let message = self.partial.as_mut().and_then(|partial| partial.message.take()).expect("inserted above");
        message.end()?;
        Ok(deliver(Event::Message { text: message.text, payload: &message.bytes }))
    }

    fn partial(&mut self, now: Tick) -> &mut Partial {
        self.partial.get_or_insert_with(|| Box::new(Partial::new(now)))
    }

    /// Between two frames: what is left is either an open message or nothing.
    fn tidy(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| partial.message.is_none()) {
            self.partial = None;
        }
    }
}

// === impl Partial ===

impl Partial {
    fn new(began: Tick) -> Partial {
        Partial { began, head: [0; HEAD_BYTES_MAX], head_bytes: 0, frame: None, control: Vec::new(), message: None }
    }
}

// === impl Message ===

impl Message {
    fn new(text: bool) -> Message {
        Message { text, bytes: Vec::new(), valid: 0, fragments: 0, empty_fragments: 0 }
    }

    /// Appends, and judges the text as far as it can be judged.
    fn extend(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.bytes.extend_from_slice(payload);
        if self.text {
            match std::str::from_utf8(&self.bytes[self.valid..]) {
                Ok(_) => self.valid = self.bytes.len(),
                Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
                Err(_) => return Err(Violation::TEXT),
            }
        }
        Ok(())
    }

    fn end_fragment(&mut self, head: &Head) -> Result<(), Violation> {
        self.fragments += 1;
        self.empty_fragments += u16::from(head.length == 0);
        if self.fragments > FRAGMENTS_MAX || self.empty_fragments > EMPTY_FRAGMENTS_MAX {
            return Err(Violation::policy("too many fragments in one message"));
        }
        Ok(())
    }

    /// A text must not end inside a character.
    fn end(&self) -> Result<(), Violation> {
        if self.text && self.valid < self.bytes.len() { Err(Violation::TEXT) } else { Ok(()) }
    }
}

/// Whether a frame may come now, and whether its message still fits.
fn admit(head: &Head, open: Option<&Message>, limits: Limits) -> Result<(), Violation> {
    if is_control(head.opcode) {
        return Ok(());
    }
    match (head.opcode == OpCode::Continuation, open) {
        (true, None) => return Err(Violation::protocol("continuation of nothing")),
        (false, Some(_)) => return Err(Violation::protocol("a new message inside a fragmented one")),
        _ => {}
    }
    let so_far = open.map_or(0, |message| message.bytes.len());
    if head.length > limits.message_bytes_max.saturating_sub(so_far) {
        return Err(Violation { close: Close::TooLarge, what: "message longer than `message_bytes_max` of Hello" });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
