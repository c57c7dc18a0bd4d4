/** What the client does when, with a clock and a gateway that are the test's. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Client, ProtogateError, pushes, routes, verdict, type Clock, type Options, type Socket } from "./generated/shipped/src/index.js";
import { EchoResponseSchema } from "./generated/shipped/src/messages/protogate/echo/v1/echo_pb.js";
import { GameEventSchema } from "./generated/shipped/src/messages/protogate/game/v1/game_pb.js";
import { Backoff } from "./generated/shipped/src/runtime/backoff.js";
import * as pb from "./generated/shipped/src/runtime/protogate/wire/v1/wire_pb.js";

/** Time passes when it is told to. */
class FakeClock implements Clock {
  #now = 0;
  #timers: { at: number; then: () => void }[] = [];
  chance = 0;

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { at: this.#now + ms, then };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  /** How many wait. */
  get timers(): number {
    return this.#timers.length;
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = next.at;
      next.then();
    }
    this.#now = end;
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

type Said = pb.Envelope;

/** One connection, as the gateway sees it. */
class Line implements Socket {
  binaryType = "";
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  readonly heard: Said[] = [];
  closed = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
    readonly gateway: FakeGateway,
  ) {
    if (url.endsWith("//")) throw new SyntaxError("no URL");
    gateway.lines.push(this);
    if (gateway.greets) queueMicrotask(() => this.say(1, pb.HelloSchema, gateway.hello));
  }

  send(data: Uint8Array): void {
    const envelope = fromBinary(pb.EnvelopeSchema, data);
    this.heard.push(envelope);
    this.gateway.answer(this, envelope);
  }

  close(): void {
    this.closed = true;
  }

  say<D extends DescMessage>(protocol: number, schema: D, message: MessageInitShape<D>, more: MessageInitShape<typeof pb.EnvelopeSchema> = {}): void {
    const payload = toBinary(schema, create(schema, message));
    const bytes = toBinary(pb.EnvelopeSchema, create(pb.EnvelopeSchema, { protocol, payload, ...(more as object) }));
    (this.onmessage as ((event: { data: ArrayBuffer }) => void) | null)?.({ data: bytes.slice().buffer as ArrayBuffer });
  }

  end(code: number, goodbye?: MessageInitShape<typeof pb.GoodbyeSchema>): void {
    if (goodbye !== undefined) this.say(11, pb.GoodbyeSchema, goodbye);
    (this.onclose as ((event: { code: number; reason: string }) => void) | null)?.({ code, reason: "" });
  }

  of(protocol: number): Said[] {
    return this.heard.filter((said) => said.protocol === protocol);
  }
}

class FakeGateway {
  readonly lines: Line[] = [];
  greets = true;
  hello: MessageInitShape<typeof pb.HelloSchema> = { heartbeatMs: 30_000, graceMs: 5_000, authTimeoutMs: 30_000, inflightMax: 2, streamCredit: 4, messageBytesMax: 1000 };
  resumed: MessageInitShape<typeof pb.ResumedSchema> = { recovered: true };
  session = "one";
  echoes = true;
  refreshes = true;

  get line(): Line {
    return this.lines.at(-1) as Line;
  }

  answer(line: Line, { protocol, id, payload }: Said): void {
    const ready = { sessionId: this.session, user: "ann", resumeToken: "back" };
    if (protocol === 2) line.say(3, pb.ReadySchema, ready, { id });
    if (protocol === 4) line.say(5, pb.ResumedSchema, { ready, ...(this.resumed as object) }, { id });
    if (protocol === 6 && id !== 0) line.say(7, pb.PongSchema, {}, { id });
    if (protocol === 8 && this.refreshes) line.say(8, pb.ReadySchema, { ...ready, resumeToken: "" }, { id });
    if (protocol === 12) line.say(12, pb.SubscribedSchema, { topic: fromBinary(pb.SubscribeSchema, payload).topic, at: { epoch: "e", offset: 5n }, recovered: true }, { id });
    if (protocol === 9001 && this.echoes) line.say(9001, EchoResponseSchema, fromBinary(EchoResponseSchema, payload), { id });
  }
}

function meet(options: Partial<Options> = {}): { client: Client; gateway: FakeGateway; clock: FakeClock; errors: unknown[] } {
  const [gateway, clock, errors] = [new FakeGateway(), new FakeClock(), [] as unknown[]];
  const webSocket = function (url: string, protocols: string[]) {
    return new Line(url, protocols, gateway);
  } as unknown as NonNullable<Options["webSocket"]>;
  const client = new Client({ url: "wss://here/ws", webSocket, clock, ...options });
  client.on("error", (error) => errors.push(error));
  return { client, gateway, clock, errors };
}

const push = (line: Line, seq: number): void => line.say(2101, GameEventSchema, { roomId: "r", version: BigInt(seq) }, { seq });

test("pauses are drawn from nothing to a bound that doubles up to a cap", () => {
  const clock = new FakeClock();
  const backoff = new Backoff(clock, { firstMs: 500, capMs: 15_000 });
  clock.chance = 1;
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(() => backoff.next()), [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  clock.chance = 0;
  assert.equal(backoff.next(), 0);
  assert.equal(backoff.next(700), 700, "what the gateway asks for comes first");
  assert.equal(backoff.next(10 ** 9), 60_000, "but not for ever");
  for (let tries = 0; tries < 2000; tries += 1) backoff.next();
  clock.chance = 1;
  assert.equal(backoff.next(), 15_000);
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test("the verdicts are in the codes", () => {
  const again = [1001, 1005, 1006, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4005, 4006, 4499];
  const never = [0, 1000, 1002, 1003, 1007, 1008, 1009, 3000, 4500, 4501, 4502, 4503, 4504, 4505, 4999];
  assert.ok(again.every((code) => verdict(code) !== "never") && never.every((code) => verdict(code) === "never"));
  assert.deepEqual([1001, 4004, 4002, 1006, 4005].map(verdict), ["at once", "at once", "fresh token", "back off", "back off"]);
});

for (const [code, pauses] of [[1001, false], [1006, true], [1011, true], [4002, false], [4001, true], [4005, true]] as const) {
  test(`after ${code} it comes back ${pauses ? "after a pause" : "at once, and once"}`, async () => {
    const { client, gateway, clock } = meet({ token: () => "t" });
    clock.chance = 0.5;
    await client.connect();
    gateway.line.end(code);
    await settled();
    assert.equal(gateway.lines.length, pauses ? 1 : 2);
    await clock.pass(249);
    assert.equal(gateway.lines.length, pauses ? 1 : 2);
    await clock.pass(1);
    assert.equal(gateway.lines.length, 2);
    assert.equal(fromBinary(pb.ResumeSchema, gateway.line.of(4)[0]?.payload ?? new Uint8Array()).resumeToken, "back");
    // The connection was not good for long, so that there is no hurry a second time.
    gateway.line.end(code);
    await settled();
    assert.equal(gateway.lines.length, 2);
    client.close();
  });
}

for (const code of [1002, 1008, 4500, 4501, 4502, 4503, 4504, 4505]) {
  test(`after ${code} it does not come back by itself`, async () => {
    const { client, gateway, clock } = meet({ token: () => "t" });
    await client.connect();
    gateway.echoes = false;
    const flying = client.echo({ text: "x" });
    gateway.line.end(code, { code, reason: "WHY" });
    await assert.rejects(flying, (error) => error instanceof ProtogateError && error.reason === "CONNECTION_LOST" && error.mayHaveRun);
    await clock.pass(100_000);
    assert.deepEqual([gateway.lines.length, client.state], [1, "closed"]);
    await assert.rejects(client.echo({ text: "x" }), (error) => error instanceof ProtogateError && error.reason === "WHY" && !error.mayHaveRun);
    await client.connect();
    assert.equal(client.state, "ready", "but when it is told to");
    client.close();
  });
}

test("a token is asked for anew each time, and is in no URL", async () => {
  let count = 0;
  const { client, gateway } = meet({ token: () => Promise.resolve(`secret${(count += 1)}`) });
  await client.connect();
  gateway.line.end(4002);
  await settled();
  const [first, second] = gateway.lines;
  assert.equal(fromBinary(pb.AuthenticateSchema, first?.of(2)[0]?.payload ?? new Uint8Array()).token, "secret1");
  assert.equal(fromBinary(pb.ResumeSchema, second?.of(4)[0]?.payload ?? new Uint8Array()).token, "secret2");
  assert.ok(gateway.lines.every((line) => line.url === "wss://here/ws" && line.protocols.join() === "protogate.v1.proto"));
  client.close();
});

test("a token() that fails is told, and tried again after a pause", async () => {
  let fails = true;
  const { client, gateway, clock, errors } = meet({ token: () => (fails ? Promise.reject(new Error("no network")) : "t") });
  clock.chance = 1;
  const ready = client.connect();
  await settled();
  assert.deepEqual([gateway.lines.length, client.state, String(errors[0])], [0, "waiting", "Error: no network"]);
  fails = false;
  await clock.pass(500);
  await ready;
  assert.equal(client.state, "ready");
  client.close();
});

test("nobody who says nothing for long is told of an end; the next call connects", async () => {
  const { client, gateway } = meet();
  assert.equal((await client.echo({ text: "one" })).text, "one");
  gateway.line.end(4500, { code: 4500, reason: "BAD_TOKEN" });
  await settled();
  assert.equal(client.state, "idle");
  assert.equal((await client.echo({ text: "two" })).text, "two");
  client.close();
});

test("pushes come once, are acknowledged soon, and what is lost is told", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  const heard: bigint[] = [];
  const gaps: unknown[] = [];
  client.on(pushes.gameEvent, ({ version }) => heard.push(version));
  client.on("gap", (gap) => gaps.push(gap));
  await client.connect();
  push(gateway.line, 1);
  push(gateway.line, 2);
  push(gateway.line, 2);
  assert.equal(gateway.line.of(7).length, 0);
  await clock.pass(200);
  assert.deepEqual(gateway.line.of(7).map(({ ack }) => ack), [2]);
  push(gateway.line, 3);
  await client.echo({ text: "carries it" });
  assert.equal(gateway.line.of(9001)[0]?.ack, 3);
  await clock.pass(1000);
  assert.equal(gateway.line.of(7).length, 1, "nothing is acknowledged twice");

  gateway.line.end(1001);
  await settled();
  assert.equal(fromBinary(pb.ResumeSchema, gateway.line.of(4)[0]?.payload ?? new Uint8Array()).lastSeq, 3);
  push(gateway.line, 3);
  push(gateway.line, 4);
  assert.deepEqual([heard, gaps], [[1n, 2n, 3n, 4n], []]);

  await clock.pass(6000);
  gateway.resumed = { recovered: false, lostTopics: ["room/1"] };
  gateway.line.end(1001);
  await settled();
  push(gateway.line, 1);
  assert.deepEqual([heard.at(-1), gaps], [1n, [{ of: "session" }, { of: "topic", topic: "room/1" }]]);
  client.close();
});

test("Resumed and what it replays may come in one breath", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  const heard: bigint[] = [];
  client.on(pushes.gameEvent, ({ version }) => heard.push(version));
  await client.connect();
  push(gateway.line, 7);
  const answer = gateway.answer.bind(gateway);
  gateway.resumed = { recovered: false };
  gateway.answer = (line, said) => {
    answer(line, said);
    if (said.protocol === 4) [1, 2].forEach((seq) => push(line, seq));
  };
  gateway.line.end(1001);
  await clock.pass(0);
  assert.deepEqual(heard, [7n, 1n, 2n]);
  client.close();
});

test("topics are asked for again in another session, from where they were", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  await client.subscribe("news/all");
  gateway.line.say(2101, GameEventSchema, { roomId: "r" }, { topic: "news/all", offset: 6n });
  assert.deepEqual(client.position("news/all"), { epoch: "e", offset: 6n });
  gateway.session = "two";
  gateway.resumed = { recovered: false, lostTopics: ["news/all"] };
  gateway.line.end(1001);
  await clock.pass(0);
  const [asked] = gateway.line.of(12);
  assert.deepEqual(fromBinary(pb.SubscribeSchema, asked?.payload ?? new Uint8Array()).from, create(pb.PositionSchema, { epoch: "e", offset: 6n }));
  client.close();
});

test("a topic that a resumed session hears no longer is asked for again, if the program had asked for it", async () => {
  const { client, gateway, clock, errors } = meet({ token: () => "t", whenDisconnected: "fail" });
  await client.connect();
  await client.subscribe("mine");
  gateway.resumed = { recovered: false, lostTopics: ["mine", "room/7"] };
  gateway.line.end(1006);
  await clock.pass(1);
  assert.equal(client.state, "ready");
  assert.deepEqual(gateway.line.of(12).map(({ payload }) => fromBinary(pb.SubscribeSchema, payload).topic), ["mine"]);
  assert.deepEqual([client.position("mine")?.offset, errors], [5n, []]);
  client.close();
});

test("of topics that a resumed session may hear no longer the program is told which are gone", async () => {
  const { client, gateway, clock, errors } = meet({ token: () => "t" });
  const told: unknown[] = [];
  client.on("gap", (gap) => told.push(gap));
  client.on("unsubscribed", (gone) => told.push(gone));
  await client.connect();
  const subscribed = (topic: string) => gateway.line.say(12, pb.SubscribedSchema, { topic, at: { epoch: "e", offset: 1n } });
  ["room/1", "room/2"].forEach(subscribed);
  const answer = gateway.answer.bind(gateway);
  gateway.resumed = { recovered: true, lostTopics: ["room/1", "room/2"] };
  gateway.answer = (line, said) => {
    answer(line, said);
    if (said.protocol === 4) subscribed("room/2");
  };
  gateway.line.end(1001);
  await clock.pass(0);
  const gap = (topic: string) => ({ of: "topic", topic });
  assert.deepEqual([told, errors], [[gap("room/1"), gap("room/2"), { topic: "room/1", reason: "LOST" }], []]);
  client.close();
  assert.equal(clock.timers, 0);
});

test("a library that waits for a farewell is not waited for", async () => {
  const { client, gateway, clock } = meet();
  await client.connect();
  const { line } = gateway;
  let ended = 0;
  Object.assign(line, { terminate: () => (ended += 1) });
  client.close();
  assert.deepEqual([line.closed, ended], [true, 0]);
  await clock.pass(1_000);
  assert.equal(ended, 1);

  await client.connect();
  Object.assign(gateway.line, { terminate: () => (ended += 1) });
  client.close();
  gateway.line.end(1000);
  assert.equal(clock.timers, 0, "one that comes ends the wait");
  await clock.pass(1_000);
  assert.equal(ended, 1);
});

test("a call that does not wait for a connection has one made for the next", async () => {
  const { client } = meet({ whenDisconnected: "fail" });
  await assert.rejects(client.echo({ text: "x" }), (error) => error instanceof ProtogateError && error.reason === "DISCONNECTED");
  await settled();
  assert.deepEqual([client.state, (await client.echo({ text: "y" })).text], ["ready", "y"]);
  client.close();
});

test("what may be repeated is said again after a cut, and nothing else", async () => {
  const { client, gateway, clock } = meet();
  await client.connect();
  gateway.echoes = false;
  const [plain, keyed] = [client.echo({ text: "plain" }), client.echo({ text: "keyed" }, { idempotencyKey: "k" })];
  const waiting = client.echo({ text: "waits, because two are in flight" });
  await settled();
  assert.equal(gateway.line.of(9001).length, 2);
  gateway.line.end(1006);
  await assert.rejects(plain, (error) => error instanceof ProtogateError && error.mayHaveRun);
  gateway.echoes = true;
  await clock.pass(1);
  assert.deepEqual([(await keyed).text, (await waiting).text], ["keyed", "waits, because two are in flight"]);
  assert.equal(gateway.line.of(9001)[0]?.idempotencyKey, "k");
  client.close();
});

test("calls in flight are as many as Hello allows, and those that wait have a bound", async () => {
  const { client, gateway } = meet({ queueMax: 3 });
  await client.connect();
  gateway.echoes = false;
  const calls = [1, 2, 3, 4, 5].map((text) => client.echo({ text: `${text}` }));
  await assert.rejects(client.echo({ text: "6" }), (error) => error instanceof ProtogateError && error.reason === "QUEUE_FULL");
  assert.equal(gateway.line.of(9001).length, 2);
  gateway.echoes = true;
  for (const { id, payload } of gateway.line.of(9001)) gateway.line.say(9001, EchoResponseSchema, fromBinary(EchoResponseSchema, payload), { id });
  assert.deepEqual((await Promise.all(calls)).map(({ text }) => text), ["1", "2", "3", "4", "5"]);
  client.close();
});

test("a call takes so long, counts until it is answered, and tells the gateway how long it may take", async () => {
  const { client, gateway, clock } = meet();
  await client.connect();
  gateway.echoes = false;
  const call = client.echo({ text: "slow" }, { timeoutMs: 300 });
  const caught = assert.rejects(call, (error) => error instanceof ProtogateError && error.reason === "DEADLINE_EXCEEDED" && error.mayHaveRun);
  await clock.pass(300);
  await caught;
  assert.equal(gateway.line.of(9001)[0]?.deadlineMs, 300);
  assert.equal(fromBinary(pb.CancelSchema, gateway.line.of(15)[0]?.payload ?? new Uint8Array()).id, gateway.line.of(9001)[0]?.id);
  const signal = new AbortController();
  const aborted = client.echo({ text: "aborted" }, { signal: signal.signal });
  signal.abort("why");
  await assert.rejects(aborted, (error) => error instanceof ProtogateError && error.reason === "CANCELLED" && error.cause === "why");
  client.close();
});

test("what is larger than the gateway takes is not said", async () => {
  const { client, gateway } = meet();
  await client.connect();
  await assert.rejects(client.echo({ text: "x".repeat(2000) }), (error) => error instanceof ProtogateError && error.reason === "TOO_LARGE" && !error.mayHaveRun);
  assert.equal(gateway.line.of(9001).length, 0);
  assert.equal((await client.echo({ text: "x" })).text, "x");
  client.close();
});

test("a gateway that falls silent is left", async () => {
  const { client, gateway, clock } = meet();
  await client.connect();
  await clock.pass(20_000);
  gateway.line.say(6, pb.PingSchema, { timeMs: 7n });
  assert.equal(gateway.line.of(7).length, 1);
  await clock.pass(34_999);
  assert.equal(gateway.lines.length, 1);
  await clock.pass(1);
  assert.deepEqual([gateway.lines.length, gateway.lines[0]?.closed], [2, true]);
  client.close();
});

test("a WebSocket that fails and never ends is left", async () => {
  const { client, gateway, clock } = meet();
  [gateway.greets, clock.chance] = [false, 1];
  const connected = assert.rejects(client.connect());
  await settled();
  const { line } = gateway;
  (line.onerror as (() => void) | null)?.();
  (line.onerror as (() => void) | null)?.();
  await clock.pass(100);
  assert.deepEqual([line.closed, client.state, gateway.lines.length], [true, "waiting", 1]);
  client.close();
  await connected;
  assert.equal(clock.timers, 0);
});

test("a gateway that never says Hello is left", async () => {
  const { client, gateway, clock } = meet({ connectTimeoutMs: 1000 });
  gateway.greets = false;
  const never = assert.rejects(client.connect());
  await clock.pass(999);
  assert.equal(gateway.lines.length, 1);
  await clock.pass(1);
  assert.equal(gateway.lines.length, 2);
  client.close();
  await never;
});

test("before a gateway goes away it is left, when its calls are answered", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  await client.connect();
  gateway.echoes = false;
  const old = gateway.line;
  const call = client.echo({ text: "old" });
  old.say(10, pb.ReconnectSchema, { delayMs: 1000, url: "wss://other/ws", canResume: true });
  await clock.pass(999);
  assert.equal(gateway.lines.length, 1, "until its turn everything goes on");
  await clock.pass(1);
  assert.deepEqual([gateway.lines.length, gateway.line.url], [2, "wss://other/ws"]);
  const later = client.echo({ text: "new" }, { whenDisconnected: "fail" });
  await clock.pass(500);
  assert.equal(gateway.line.of(4).length, 0, "the session stays where a call is");
  gateway.echoes = true;
  const { id, payload } = old.of(9001)[0] as Said;
  old.say(9001, EchoResponseSchema, fromBinary(EchoResponseSchema, payload), { id });
  assert.equal((await call).text, "old");
  assert.equal((await later).text, "new");
  assert.deepEqual([gateway.line.of(4).length, gateway.line.of(9001).length, client.state], [1, 1, "ready"]);
  old.end(4502);
  await clock.pass(10_000);
  assert.deepEqual([gateway.lines.length, client.state], [2, "ready"]);
  client.close();
});

test("a resume token goes to no place that is less safe", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  await client.connect();
  gateway.line.say(10, pb.ReconnectSchema, { delayMs: 0, url: "ws://clear/ws", canResume: true });
  await clock.pass(0);
  assert.equal(gateway.line.url, "wss://here/ws");
  client.close();
});

test("a place that is none is not gone to, and one in other letters is as safe as it is", async () => {
  const { client, gateway, clock } = meet({ url: "WSS://here/ws", token: () => "t" });
  await client.connect();
  for (const [url, next] of [["wss://", "WSS://here/ws"], ["ws://clear/ws", "WSS://here/ws"], ["WSS://other/ws", "WSS://other/ws"]] as const) {
    gateway.line.say(10, pb.ReconnectSchema, { delayMs: 0, url, canResume: true });
    await clock.pass(6_000);
    assert.deepEqual([gateway.line.url, client.state], [next, "ready"], url);
  }
  client.close();
});

test("a gateway that asks again and again to be left is followed without hurry, and few of its connections stay", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  clock.chance = 1;
  await client.connect();
  for (let turn = 0; turn < 60; turn += 1) {
    const { line } = gateway;
    line.say(10, pb.ReconnectSchema, { delayMs: 0, canResume: true });
    await clock.pass(500);
  }
  const open = gateway.lines.filter((line) => !line.closed).length;
  assert.ok(gateway.lines.length < 10 && open <= 5, `${gateway.lines.length} connections, ${open} of them open`);
  client.close();
  assert.deepEqual([gateway.lines.every((line) => line.closed), clock.timers], [true, 0]);
});

test("whatever a gateway says, nothing is thrown where nobody catches it", async () => {
  const { client, gateway, clock, errors } = meet({ token: () => "t" });
  await client.connect();
  push(gateway.line, 1);
  gateway.line.say(1, pb.HelloSchema, { ...(gateway.hello as object), messageBytesMax: 1 });
  // What is owed, such as an acknowledgement, would have no room.
  await clock.pass(1_000);
  assert.deepEqual([client.state, gateway.line.closed, errors], ["closed", true, []], "a gateway greets once");
  gateway.hello = { messageBytesMax: 1 };
  await assert.rejects(client.connect(), ProtogateError);
});

test("what is granted is all that is kept of a stream that nobody reads", async () => {
  const { client, gateway } = meet();
  await client.connect();
  gateway.echoes = false;
  const stream = client.open({ ...routes.echo, kind: "server_stream" } as const, { text: "x" });
  const id = gateway.line.of(9001)[0]?.id ?? 0;
  for (let at = 0; at < 5; at += 1) gateway.line.say(0, EchoResponseSchema, { text: `${at}` }, { id, more: true });
  assert.deepEqual(gateway.line.of(15).map(({ payload }) => fromBinary(pb.CancelSchema, payload).id), [id]);
  const read: string[] = [];
  await assert.rejects(
    async () => {
      for await (const { text } of stream) read.push(text);
    },
    (error) => error instanceof ProtogateError && error.reason === "CREDIT_OVERRUN",
  );
  assert.deepEqual(read, ["0", "1", "2", "3"]);
  client.close();
});

test("a token is renewed before it ends, or the program is told", async () => {
  const { client, gateway } = meet({ token: () => "t" });
  await client.connect();
  gateway.line.say(9, pb.TokenExpiringSchema, { expiresMs: 99n });
  await settled();
  assert.equal(gateway.line.of(8).length, 1);
  client.close();

  const other = meet();
  const told: number[] = [];
  other.client.on("expiring", ({ expiresMs }) => told.push(expiresMs));
  await other.client.connect();
  other.gateway.line.say(9, pb.TokenExpiringSchema, { expiresMs: 99n });
  assert.deepEqual(told, [99]);
  other.client.close();
});

test("a stream waits for a connection as long as a call does", async () => {
  const { client, gateway, clock } = meet({ timeoutMs: 8_000, connectTimeoutMs: 60_000 });
  gateway.greets = false;
  const stream = client.open({ ...routes.echo, kind: "server_stream" } as const, { text: "x" });
  const ended = assert.rejects(async () => {
    for await (const one of stream) void one;
  }, (error) => error instanceof ProtogateError && error.reason === "DEADLINE_EXCEEDED" && !error.mayHaveRun);
  await clock.pass(8_000);
  await ended;
  client.close();
  assert.equal(clock.timers, 0);
});

test("streams keep to their credit, grant as they are read, and end with their connection", async () => {
  const { client, gateway } = meet();
  await client.connect();
  gateway.echoes = false;
  const route = { ...routes.echo, kind: "bidi" } as const;
  const stream = client.open(route);
  const sends = [1, 2, 3, 4, 5, 6].map((text) => stream.send({ text: `${text}` }));
  const [opening] = gateway.line.of(9001);
  const id = opening?.id ?? 0;
  assert.deepEqual([opening?.more, gateway.line.of(0).length], [true, 3], "four may be said");
  gateway.line.say(0, EchoResponseSchema, {}, { id, credit: 9, payload: new Uint8Array() });
  assert.equal(gateway.line.of(0).filter((said) => said.more).length, 5);
  await Promise.all(sends);
  const reading = stream[Symbol.asyncIterator]();
  for (const text of ["a", "b"]) gateway.line.say(0, EchoResponseSchema, { text }, { id, more: true });
  assert.deepEqual([(await reading.next()).value?.text, (await reading.next()).value?.text], ["a", "b"]);
  assert.deepEqual(gateway.line.of(0).filter((said) => said.credit > 0).map((said) => said.credit), [2]);
  const next = reading.next();
  gateway.line.end(1006);
  await assert.rejects(next, (error) => error instanceof ProtogateError && error.reason === "CONNECTION_LOST" && error.mayHaveRun);
  await assert.rejects(stream.send({ text: "late" }), (error) => error instanceof ProtogateError && error.reason === "CONNECTION_LOST");
  client.close();
});

test("what is no envelope, and a listener that throws, stop nothing else", async () => {
  const { client, gateway, errors } = meet({ token: () => "t" });
  const heard: bigint[] = [];
  client.on(pushes.gameEvent, () => {
    throw new Error("mine");
  });
  client.on(pushes.gameEvent, async () => Promise.reject(new Error("later")));
  const off = client.on(pushes.gameEvent, ({ version }) => heard.push(version));
  await client.connect();
  push(gateway.line, 1);
  await settled();
  assert.deepEqual([heard, errors.map(String)], [[1n], ["Error: mine", "Error: later"]]);
  off();
  push(gateway.line, 2);
  assert.deepEqual(heard, [1n]);
  (gateway.line.onmessage as ((event: { data: unknown }) => void) | null)?.({ data: "text" });
  await settled();
  assert.deepEqual([client.state, gateway.line.closed], ["closed", true], "whoever says such things is no gateway");
  client.close();
});

test("who has logged in by a call is known before its reply, and comes back without a token", async () => {
  const { client, gateway, clock } = meet();
  await client.connect();
  const answer = gateway.answer.bind(gateway);
  gateway.answer = (line, said) => {
    if (said.protocol === 9001) line.say(3, pb.ReadySchema, { sessionId: "s", user: "bob", resumeToken: "back" });
    answer(line, said);
  };
  const users: (string | undefined)[] = [];
  client.on("session", (session) => users.push(session?.user));
  let atReply: string | undefined;
  await client.echo({ text: "login" }).then(() => (atReply = client.session?.user));
  assert.equal(atReply, "bob");
  gateway.session = "s";
  gateway.line.end(1001);
  await settled();
  assert.equal(fromBinary(pb.ResumeSchema, gateway.line.of(4)[0]?.payload ?? new Uint8Array()).token, "");
  gateway.answer = (line, { protocol, id }) => {
    if (protocol === 4) line.say(4, pb.ResumeSchema, {}, { id, status: { code: 5, reason: "RESUME_FAILED" } });
  };
  gateway.line.end(4004);
  await clock.pass(1);
  assert.deepEqual([client.state, client.session, users.at(-1)], ["ready", undefined, undefined]);
  client.close();
});

test("close ends everything, and connect begins anew", async () => {
  const { client, gateway } = meet({ token: () => "t" });
  await client.connect();
  gateway.echoes = false;
  const call = client.echo({ text: "x" });
  const keyed = client.echo({ text: "y" }, { idempotencyKey: "k" });
  client.close();
  await assert.rejects(call, ProtogateError);
  await assert.rejects(keyed, ProtogateError);
  assert.deepEqual([client.state, client.session, gateway.line.closed], ["closed", undefined, true]);
  await client.connect();
  assert.deepEqual([gateway.lines.length, gateway.line.of(2).length, gateway.line.of(4).length], [2, 1, 0]);
  client.close();
});

test("a client that was closed waits for nothing", async () => {
  let tokens = 0;
  const { client, gateway, clock, errors } = meet({ token: () => (++tokens === 1 ? "t" : new Promise<string>(() => {})) });
  await client.connect();
  const refreshed = assert.rejects(client.refresh(), ProtogateError);
  await settled();
  client.close();
  await refreshed;
  const connected = assert.rejects(client.connect(), ProtogateError);
  await settled();
  client.close();
  await connected;
  assert.deepEqual([clock.timers, gateway.lines.length, errors], [0, 1, []]);
});

test("what Goodbye says is done: how long to wait, and whether the session is still there", async () => {
  const { client, gateway, clock } = meet({ token: () => "t" });
  clock.chance = 1;
  await client.connect();
  gateway.line.end(4005, { code: 4005, reason: "OVERLOADED", reconnect: true, canResume: false, retryAfterMs: 3000 });
  await clock.pass(3499);
  assert.deepEqual([gateway.lines.length, client.state, client.session], [1, "waiting", undefined]);
  await clock.pass(1);
  assert.deepEqual([gateway.line.of(4).length, gateway.line.of(2).length, client.state], [0, 1, "ready"]);
  client.close();
});

test("a program that says how often is tried so often", async () => {
  const { client, gateway, clock } = meet({ triesMax: 3, connectTimeoutMs: 100 });
  gateway.greets = false;
  const never = assert.rejects(client.connect(), ProtogateError);
  await clock.pass(60_000);
  await never;
  assert.deepEqual([gateway.lines.length, client.state], [4, "closed"]);
});

test("while it pauses, whoever asks it to connects at once", async () => {
  const { client, gateway, clock } = meet();
  clock.chance = 1;
  await client.connect();
  gateway.line.end(1006);
  await settled();
  assert.deepEqual([client.state, gateway.lines.length], ["waiting", 1]);
  await client.connect();
  assert.deepEqual([client.state, gateway.lines.length], ["ready", 2]);
  client.close();
});
