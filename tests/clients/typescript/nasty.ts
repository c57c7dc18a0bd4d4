/** All kinds of values and of methods, over the fixture's routes and a service in Python: the gateway's address is the first argument. */

import assert from "node:assert/strict";
import { create, equals, toJsonString, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import WebSocket from "ws";
import { Client, ProtogateError, routes } from "./generated/nasty/src/index.js";
import { Color, CountSchema, EverythingSchema, Numbers_Kind } from "./generated/nasty/src/messages/nasty/v1/nasty_pb.js";
import { Mood } from "./generated/nasty/src/messages/nasty/v1/old_pb.js";

process.on("unhandledRejection", (error) => {
  console.log(`unhandled: ${String(error)}`);
  process.exit(1);
});

const client = new Client({ url: process.argv[2] ?? "", webSocket: WebSocket });
const errors: unknown[] = [];
client.on("error", (error) => errors.push(error));

const everything: MessageInitShape<typeof EverythingSchema> = {
  aDouble: -1.5e300,
  aFloat: 0.25,
  anInt32: -(2 ** 31),
  anInt64: -(2n ** 63n),
  aUint32: 2 ** 32 - 1,
  aUint64: 2n ** 64n - 1n,
  aSint32: -77,
  aSint64: -7n,
  aFixed32: 4_000_000_000,
  aFixed64: 2n ** 63n,
  aSfixed32: -5,
  aSfixed64: -5n,
  aBool: true,
  aString: "naïve 🦀 \u2028 */ `",
  aBytes: new Uint8Array([0, 255, 10]),
  constructor$: "c",
  Proto: "p",
  toString$: "s",
  default: "d",
  class: "k",
  owned: { hasOwnProperty: "h" },
  valueOf$: "v",
  "1st": "1",
  prototype: "y",
  renamed: "r",
  maybe: 0,
  packed: [1, -1, 300],
  unpacked: [1, 2],
  texts: ["", "x"],
  children: [{ aString: "first" }, {}],
  child: { child: { child: { maybeText: "" } } },
  byText: { constructor: "x", "": "empty" },
  byNumber: { [-3]: { aBool: true } },
  byBool: { true: new Uint8Array([1]) },
  byBig: { "18446744073709551615": Color.default },
  function: { case: "await", value: { text: "inner" } },
  color: Color.NaN$,
  colors: [Color.constructor$, 99 as Color],
  any: anyPack(CountSchema, create(CountSchema, { number: 7 })),
  duration: { seconds: 3n, nanos: 500_000_000 },
  timestamp: { seconds: 1n },
  struct: { a: [1, null, { b: "c" }] },
  value: { kind: { case: "stringValue", value: "v" } },
  textValue: "wrapped",
  bigValue: 12n,
  numbers: [{ value: 4 }],
  structs: { s: { t: true } },
  other: { text: "other" },
  old: { name: "n", number: 0, seat: [{ who: "a" }, {}], table: { legs: 4 }, mood: Mood.BAD, choice: { case: "left", value: { text: "l" } } },
  asText: "-9223372036854775808",
  when: [{ seconds: 2n, nanos: 1 }],
  kind: Numbers_Kind.MINUS,
  ownTimestamp: { timestamp: "t" },
};

// What is said comes as it was said, to Python and back.
const sent = create(EverythingSchema, everything);
const told = await client.nasty.default(sent);
assert.ok(told.back !== undefined && equals(EverythingSchema, told.back, sent), "it comes back as it went");
const python = JSON.parse(told.json) as Record<string, unknown>;
assert.equal(python["anInt64"], "-9223372036854775808");
assert.equal(python["aString"], "naïve 🦀 \u2028 */ `");
assert.equal(python["Proto"], "p");
assert.equal(python["@renamed \"so\""], "r");
assert.deepEqual((python["old"] as Record<string, unknown>)["table"], { legs: 4 });
assert.deepEqual(python["await"], { text: "inner" });
// A registry tells what is in an Any; without it both leave it out.
const { any: _, ...rest } = everything;
console.log(`json ${toJsonString(EverythingSchema, create(EverythingSchema, rest))}`);

// A stream to here: more than the credit, slowly read.
let count = 0;
for await (const one of client.nasty.watch({ number: 100 })) {
  assert.equal(one.anInt32, count);
  count += 1;
  if (count % 40 === 0) await new Promise((resolve) => setTimeout(resolve, 30));
}
assert.equal(count, 100);

// Leaving it cancels it.
for await (const one of client.nasty.watch({ number: 1_000_000 })) if (one.anInt32 === 3) break;

// A stream from here: more than the credit, and one answer.
const gather = client.nasty.gather();
const sends: Promise<void>[] = [];
for (let number = 0; number < 100; number += 1) sends.push(gather.send({ number }));
gather.close();
assert.equal((await gather.reply).json, String((99 * 100) / 2));
await Promise.all(sends);
await assert.rejects(gather.send({ number: 1 }), (error) => error instanceof ProtogateError && error.reason === "CLOSED");

// Without a message.
const empty = client.nasty.gather();
empty.close();
assert.equal((await empty.reply).json, "0");

// Both ways.
const talk = client.open(routes.nastyTalk);
const back: number[] = [];
void talk.send({ number: 1 });
for await (const one of talk) {
  back.push(one.number);
  if (one.number < 200) await talk.send({ number: one.number * 2 });
  else talk.close();
}
assert.deepEqual(back, [1, 2, 4, 8, 16, 32, 64, 128, 256].slice(0, back.length));
assert.ok(back.length === 9);

// A failure ends it where it is read.
const failing = client.nasty.talk();
void failing.send({ number: 1, text: "fail" });
await assert.rejects(
  (async () => {
    for await (const _ of failing);
  })(),
  (error) => error instanceof ProtogateError && error.source === "service" && error.code === 9 && error.mayHaveRun,
);

// An abort ends a call and a stream.
const aborting = new AbortController();
const slow = client.nasty.talk({ signal: aborting.signal });
void slow.send({ number: 5 });
const reading = slow[Symbol.asyncIterator]();
assert.equal((await reading.next()).value?.number, 5);
const next = reading.next();
aborting.abort("enough");
await assert.rejects(next, (error) => error instanceof ProtogateError && error.reason === "CANCELLED" && error.cause === "enough");

// A route that is silent.
await client.nasty.hush({ number: 1 });
await client.nasty.hush({ number: 2, text: "fail" });
for (let passed = 0; errors.length === 0 && passed < 10_000; passed += 20) await new Promise((resolve) => setTimeout(resolve, 20));
assert.ok(errors.length === 1 && errors[0] instanceof ProtogateError && errors[0].code === 9, String(errors));

// Names of routes that the client has itself.
assert.equal((await client.nothing({})).fields["nothing"]?.kind.value, "but");
assert.equal(typeof client.call$, "function");
assert.equal(typeof client.close$.then$, "function");
assert.equal(typeof client.constructor$, "function");
assert.equal(new TextDecoder().decode((await client.delete({ string: "x" })).bytes), "x");

client.close();
console.log("done");
