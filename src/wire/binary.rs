//! The envelope in protobuf.
//!
//! Promises: an ordinary call (numbers, a payload, no metadata, no status) decodes without allocation; unknown fields are skipped and the
//! last occurrence of a field wins, as protobuf says; encoding writes fields in the order of their numbers, byte for byte what prost writes.

use std::borrow::Cow;

use prost_types::Any;

use super::ENTRIES_MAX;
use super::envelope::{Envelope, Malformed, Payload};
use super::primitive::{Problem, Reader, Wire, put_bytes, put_message, put_number};
use super::status::{Detail, Status};
use crate::failure::Source;

/// The envelope's fields by number, for people.
const NAMES: [&str; 17] = [
    "",
    "protocol",
    "id",
    "payload",
    "status",
    "seq",
    "ack",
    "deadline_ms",
    "more",
    "topic",
    "offset",
    "traceparent",
    "metadata",
    "idempotency_key",
    "epoch",
    "dropped",
    "credit",
];

const TOO_MANY_ENTRIES: Problem = "has more than 64 entries";

pub fn decode(message: &[u8]) -> Result<Envelope<'_>, Malformed> {
    let mut envelope = Envelope::default();
    let mut budget = Budget { metadata: ENTRIES_MAX, details: ENTRIES_MAX };
    let mut reader = Reader::new(message);
    // Zero until the id was met: then nobody can say for whom the message was.
    let mut id = None;
    loop {
        match reader.field() {
            Ok(None) => return Ok(envelope),
            Ok(Some((number, wire))) => {
                if let Err(problem) = field(&mut envelope, &mut budget, &mut reader, number, wire) {
                    return Err(malformed(id, number, problem));
                }
                if number == 2 {
                    id = Some(envelope.id);
                }
            }
            Err(problem) => return Err(Malformed { id, what: format!("the message is not a protogate.wire.v1.Envelope: {problem}") }),
        }
    }
}

pub fn encode(envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    put_number(out, 1, envelope.protocol.into());
    put_number(out, 2, envelope.id.into());
    match envelope.payload {
        Payload::None => {}
        Payload::Proto(bytes) => put_bytes(out, 3, bytes),
        Payload::Json(text) => put_bytes(out, 3, text.as_bytes()),
    }
    if let Some(status) = &envelope.status {
        put_message(out, 4, |out| put_status(status, out));
    }
    put_number(out, 5, envelope.seq.into());
    put_number(out, 6, envelope.ack.into());
    put_number(out, 7, envelope.deadline_ms.into());
    put_number(out, 8, envelope.more.into());
    put_bytes(out, 9, envelope.topic.as_bytes());
    put_number(out, 10, envelope.offset);
    put_bytes(out, 11, envelope.traceparent.as_bytes());
    for (key, value) in &envelope.metadata {
        put_message(out, 12, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
    put_bytes(out, 13, envelope.idempotency_key.as_bytes());
    put_bytes(out, 14, envelope.epoch.as_bytes());
    put_number(out, 15, envelope.dropped.into());
    put_number(out, 16, envelope.credit.into());
}

/// Adds one field to a message that ends here; protobuf leaves the order to who writes.
pub fn append_dropped(dropped: u32, out: &mut Vec<u8>) {
    put_number(out, 15, dropped.into());
}

/// How many more entries may be read. It counts what stands in the message, repetitions included, so that it bounds the work as well.
struct Budget {
    metadata: usize,
    details: usize,
}

fn field<'a>(envelope: &mut Envelope<'a>, budget: &mut Budget, reader: &mut Reader<'a>, number: u32, wire: Wire) -> Result<(), Problem> {
    match number {
        1 => envelope.protocol = reader.uint32(wire)?,
        2 => envelope.id = reader.uint32(wire)?,
        3 => envelope.payload = payload(reader.bytes(wire)?),
        4 => read_status(envelope.status.get_or_insert_default(), &mut budget.details, reader.bytes(wire)?)?,
        5 => envelope.seq = reader.uint32(wire)?,
        6 => envelope.ack = reader.uint32(wire)?,
        7 => envelope.deadline_ms = reader.uint32(wire)?,
        8 => envelope.more = reader.bool(wire)?,
        9 => envelope.topic = Cow::Borrowed(reader.text(wire)?),
        10 => envelope.offset = reader.uint64(wire)?,
        11 => envelope.traceparent = Cow::Borrowed(reader.text(wire)?),
        12 => {
            let entry = reader.bytes(wire)?;
            spend(&mut budget.metadata)?;
            read_metadata(&mut envelope.metadata, entry)?;
        }
        13 => envelope.idempotency_key = Cow::Borrowed(reader.text(wire)?),
        14 => envelope.epoch = Cow::Borrowed(reader.text(wire)?),
        15 => envelope.dropped = reader.uint32(wire)?,
        16 => envelope.credit = reader.uint32(wire)?,
        _ => reader.skip(wire)?,
    }
    Ok(())
}

fn payload(bytes: &[u8]) -> Payload<'_> {
    if bytes.is_empty() { Payload::None } else { Payload::Proto(bytes) }
}

/// A message that occurs twice is merged: texts and numbers are replaced, details are added.
fn read_status(status: &mut Status, details: &mut usize, message: &[u8]) -> Result<(), Problem> {
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => status.code = reader.uint32(wire)?,
            2 => status.reason = reader.text(wire)?.to_owned(),
            3 => status.message = reader.text(wire)?.to_owned(),
            4 => status.retry_after_ms = reader.uint32(wire)?,
            5 => status.source = source(reader.uint32(wire)?),
            6 => {
                let any = reader.bytes(wire)?;
                spend(details)?;
                status.details.push(Detail { any: read_any(any)?, json: None });
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(())
}

/// A number that nobody defined reads as the enum's default.
fn source(number: u32) -> Source {
    match number {
        1 => Source::Backend,
        _ => Source::Gateway,
    }
}

fn read_any(message: &[u8]) -> Result<Any, Problem> {
    let (mut type_url, mut value) = ("", &[][..]);
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => type_url = reader.text(wire)?,
            2 => value = reader.bytes(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(Any { type_url: type_url.to_owned(), value: value.to_vec() })
}

/// In a map the last entry of a key wins.
fn read_metadata<'a>(metadata: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>, entry: &'a [u8]) -> Result<(), Problem> {
    let (mut key, mut value) = ("", "");
    let mut reader = Reader::new(entry);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = reader.text(wire)?,
            2 => value = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    match metadata.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = Cow::Borrowed(value),
        None => metadata.push((Cow::Borrowed(key), Cow::Borrowed(value))),
    }
    Ok(())
}

fn spend(budget: &mut usize) -> Result<(), Problem> {
    *budget = budget.checked_sub(1).ok_or(TOO_MANY_ENTRIES)?;
    Ok(())
}

fn put_status(status: &Status, out: &mut Vec<u8>) {
    put_number(out, 1, status.code.into());
    put_bytes(out, 2, status.reason.as_bytes());
    put_bytes(out, 3, status.message.as_bytes());
    put_number(out, 4, status.retry_after_ms.into());
    put_number(out, 5, (status.source == Source::Backend).into());
    for detail in &status.details {
        put_message(out, 6, |out| {
            put_bytes(out, 1, detail.any.type_url.as_bytes());
            put_bytes(out, 2, &detail.any.value);
        });
    }
}

fn malformed(id: Option<u32>, number: u32, problem: Problem) -> Malformed {
    let name = NAMES.get(number as usize).copied().unwrap_or("unknown");
    Malformed { id, what: format!("field {number} (`{name}`) of protogate.wire.v1.Envelope: {problem}") }
}

#[cfg(test)]
mod tests;
