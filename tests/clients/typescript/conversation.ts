/**
 * What one client says and hears over the shipped routes while its connection is cut, and while the gateway goes away: the same in Node
 * and in a browser. Whoever runs it does what is asked for at `control`.
 */

import { Client, Code, ProtogateError, pushes, type Gap, type SocketConstructor } from "./generated/shipped/src/index.js";

export interface World {
  /** By the proxy whose connections are cut, and by one whose are not. */
  readonly url: string;
  readonly peerUrl: string;
  readonly control: string;
  readonly webSocket?: SocketConstructor;
}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`it does not hold: ${what}`);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let passed = 0; !holds(); passed += 20) {
    if (passed > 30_000) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function converse(world: World): Promise<string[]> {
  const steps: string[] = [];
  const step = (what: string): void => void steps.push(what);
  const ask = async (what: string): Promise<void> => {
    const answer = await fetch(`${world.control}/${what}`, { method: "POST" });
    must(answer.ok, `${what}: ${answer.status} ${await answer.text()}`);
  };
  const name = `u${Math.random().toString(36).slice(2, 10)}`;
  const options = { ...(world.webSocket === undefined ? {} : { webSocket: world.webSocket }), firstMs: 50, capMs: 500 };

  // Login.
  let token: string | undefined;
  const states: string[] = [];
  const gaps: Gap[] = [];
  const errors: unknown[] = [];
  const client = new Client({ ...options, url: world.url, token: () => token, clientName: "conversation" });
  client.on("state", (state) => states.push(state));
  client.on("gap", (gap) => gaps.push(gap));
  client.on("error", (error) => errors.push(error));
  const heard: bigint[] = [];
  client.on(pushes.gameEvent, (event) => {
    if (event.event.case === "operation") heard.push(event.version);
  });

  must((await client.echo({ text: "before anybody is known" })).text === "before anybody is known", "an anonymous call is answered");
  must(client.catalogue === "same", "the catalogue is the one it was generated from");
  const refused = await client.game.listRooms({}).catch((error: unknown) => error);
  must(refused instanceof ProtogateError && refused.reason === "UNAUTHENTICATED" && refused.code === Code.UNAUTHENTICATED && !refused.mayHaveRun, "who is nobody may not");
  let sessionAtReply: string | undefined;
  await client.auth.register({ username: name, password: "a long pass phrase 7", email: `${name}@example.com` }).then((registered) => {
    token = registered.accessToken;
    sessionAtReply = client.session?.user;
  });
  must(sessionAtReply !== undefined && sessionAtReply === client.session?.user, "Ready comes before the reply");
  const user = sessionAtReply;
  await client.refresh();
  step("login");

  const peer = new Client({ ...options, url: world.peerUrl });
  await peer.auth.register({ username: `p${name}`, password: "a long pass phrase 8", email: `p${name}@example.com` });

  // Join.
  const { room } = await peer.game.createRoom({ name: "a table", capacity: 4 });
  must(room !== undefined, "there is a room");
  const joined = await client.game.joinRoom({ roomId: room.id });
  must(joined.room?.members.some((member) => member.userId === user) === true, "the client is in it");
  must(client.position(`room/${room.id}`) !== undefined, "the client hears the room, and knows where it is");
  const missing = await client.game.joinRoom({ roomId: "nowhere" }).catch((error: unknown) => error);
  must(missing instanceof ProtogateError && missing.reason === "ROOM_NOT_FOUND" && missing.source === "service", "the service's own failure comes as it is");
  step("join");

  // Pushes.
  const made: bigint[] = [];
  const operate = async (): Promise<void> => {
    const { version } = await peer.game.operate({ roomId: room.id, what: { case: "action", value: { kind: "move" } } });
    made.push(version);
  };
  await operate();
  await operate();
  await until("two pushes", () => heard.length === 2);
  step("pushes");

  // A cut: what was pushed meanwhile comes, what was in flight is told of, what was not said waits.
  await ask("hold");
  const flying = client.game.getState({ roomId: room.id }).catch((error: unknown) => error);
  await ask("cut");
  const lost = await flying;
  must(lost instanceof ProtogateError && lost.reason === "CONNECTION_LOST" && lost.mayHaveRun, `what was in flight may have run: ${String(lost)}`);
  const later = client.game.getState({ roomId: room.id });
  const now = await client.echo({ text: "now" }, { whenDisconnected: "fail" }).catch((error: unknown) => error);
  must(now instanceof ProtogateError && now.reason === "DISCONNECTED" && !now.mayHaveRun, "what is not to wait fails at once");
  await operate();
  await operate();
  await ask("mend");
  must((await later).room?.id === room.id, "what waited is answered on the next connection");
  await until("the pushes of the time without a connection", () => heard.length === 4);
  must(client.session?.user === user, "the session is the same user's");
  must(gaps.length === 0, "nothing was lost");
  must(states.includes("waiting"), "there was a pause");
  step("resume");

  // Drain: another gateway takes over, and no call and no push is lost by it.
  const before = client.hello?.node;
  let calling = true;
  let answered = 0;
  const talking = (async () => {
    for (; calling; answered += 1) {
      must((await client.echo({ text: `${answered}` })).text === `${answered}`, "the call is answered");
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  })();
  await ask("drain");
  for (let count = 0; client.hello?.node === before || peer.hello?.node === before || count < 3; count += 1) {
    must(count < 200, "both move to the other gateway");
    await operate();
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  calling = false;
  await talking;
  must(answered > 3, "it went on calling");
  await until("every push", () => heard.length === made.length);
  must(heard.every((version, index) => version === made[index]), `each push once and in order: ${heard.join()} of ${made.join()}`);
  must(gaps.length === 0, `nothing was lost: ${JSON.stringify(gaps)}`);
  must(errors.length === 0, `nothing went wrong: ${String(errors[0])}`);
  step("drain");

  // The end.
  await client.auth.logout({});
  must(client.session === undefined, "after the logout it is nobody");
  client.close();
  peer.close();
  must(client.state === "closed", "it is closed");
  const over = await client.echo({ text: "after" }).catch((error: unknown) => error);
  must(over instanceof ProtogateError && over.reason === "CLOSED", "nothing is said any more");
  step("close");
  return steps;
}
