"""A service in Python reaches clients through the PushService of a gateway: clients that speak protobuf, and clients that speak JSON."""

import asyncio
import json
import unittest
from concurrent import futures

import grpc
import websockets

import wire
from gateway import TOP, Gateway

TOKEN = "sixteen bytes or more"

MOVED, LETTER = 5101, 5102

REASONS = ["UNAUTHENTICATED", "INVALID_PAYLOAD", "UNKNOWN_PUSH", "UNKNOWN_TOPIC", "WRONG_TOPIC", "NO_TARGET"]

TABLE_PROTO = """
syntax = "proto3";
package table.v1;
service Table {
  rpc Sit(SitRequest) returns (SitReply);
  rpc Move(MoveRequest) returns (MoveReply);
}
message SitRequest { string table = 1; string user = 2; }
message SitReply { uint64 place = 1; }
message MoveRequest { string table = 1; string user = 2; string what = 3; }
message MoveReply { uint64 number = 1; }
message Moved { string user = 1; string what = 2; }
"""

ROUTES = """
version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  table: {{ grpc: {{ endpoints: ["http://127.0.0.1:{port}"] }} }}
permissions:
  roles:
    player: {{ grant: ["table.*", "news.hear"] }}
topics:
  "table/{{id}}": {{ join: effect, history: {{ count: 100 }}, presence: true, pushes: [5101] }}
  "news/{{id}}": {{ join: news.hear, pushes: [5101] }}
defaults: {{ backend: table, permissions: [table.play], set: {{ request.user: session.user }} }}
routes:
  5001: {{ name: table.sit, rpc: table.v1.Table/Sit, on_success: {{ subscribe: "table/${{request.table}}" }} }}
  5002: {{ name: table.move, rpc: table.v1.Table/Move }}
pushes:
  5101: {{ name: table.moved, message: table.v1.Moved }}
  5102: {{ name: table.letter, message: table.v1.Moved, delivery: durable }}
"""


class PushService:
    """The gateway's, for a service that shows `token`."""

    def __init__(self, address, token=TOKEN):
        self.channel = grpc.insecure_channel(address)
        self.metadata = (("authorization", f"Bearer {token}"),)

    def call(self, method, request, reply):
        call = self.channel.unary_unary(
            f"/protogate.push.v1.PushService/{method}", request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString)
        return call(request, timeout=60, metadata=self.metadata)

    def push(self, number, message, **target):
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        return self.call("Push", wire.PushRequest(number=number, payload=payload, **target), wire.PushResponse)

    def kick(self, user):
        return self.call("Kick", wire.KickRequest(user=user), wire.KickResponse).sessions

    def unsubscribe(self, topic, *users, reason):
        self.call("Unsubscribe", wire.UnsubscribeRequest(topic=topic, users=users, reason=reason), wire.UnsubscribeResponse)

    def presence(self, **of):
        return self.call("Presence", wire.PresenceRequest(**of), wire.PresenceResponse)


class Table:
    """A gRPC server that tells everybody at a table what one of them does."""

    def __init__(self):
        self.gateway = None
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        handlers = {
            "Sit": grpc.unary_unary_rpc_method_handler(
                lambda request, _: wire.SitReply(place=1), wire.SitRequest.FromString, wire.SitReply.SerializeToString),
            "Move": grpc.unary_unary_rpc_method_handler(self.move, wire.MoveRequest.FromString, wire.MoveReply.SerializeToString),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("table.v1.Table", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def move(self, request, _):
        moved = wire.Moved(user=request.user, what=request.what)
        return wire.MoveReply(number=self.gateway.push(MOVED, moved, topic=f"table/{request.table}").offset)

    def stop(self):
        self.server.stop(None).wait()


class Client:
    """A client in a session. Either codec reads what comes into an Envelope; a payload in JSON stays JSON."""

    def __init__(self, socket):
        self.socket, self.next_id, self.kept = socket, 0, []

    @classmethod
    async def login(cls, test, user):
        token = await asyncio.to_thread(test.gateway.token, user, ["player"])
        socket = await websockets.connect(test.gateway.url, subprotocols=[cls.codec], additional_headers={"authorization": f"Bearer {token}"})
        test.addAsyncCleanup(socket.close)
        client = cls(socket)
        assert (await client.next()).protocol == 1, "Hello comes first"
        client.session = client.ready(await client.next())
        return client

    async def next(self):
        while True:
            said = self.read(await asyncio.wait_for(self.socket.recv(), 60))
            if said.protocol != 6:
                return said

    async def call(self, protocol, message):
        """The one answer. What comes before it is kept for whoever listens."""
        self.next_id += 1
        await self.socket.send(self.written(protocol, self.next_id, message))
        while (said := await self.next()).id != self.next_id:
            self.kept.append(said)
        return said

    async def hear(self):
        return self.kept.pop(0) if self.kept else await self.next()

    async def hear_push(self):
        """The next push, as (number, topic, place in it, user, what)."""
        while (said := await self.hear()).protocol < 1000:
            pass
        return said.protocol, said.topic, said.offset, *self.moved(said)

    async def hear_nothing(self):
        """Whatever was pushed before now would have come before the answer to this."""
        await self.call(6, wire.Ping())
        return not [said for said in self.kept if said.protocol >= 1000]


class Binary(Client):
    codec = "protogate.v1.proto"

    def read(self, data):
        return wire.Envelope.FromString(data)

    def written(self, protocol, id, message):
        return wire.Envelope(protocol=protocol, id=id, payload=message.SerializeToString()).SerializeToString()

    def ready(self, said):
        return wire.Ready.FromString(said.payload).session_id

    def moved(self, said):
        moved = wire.Moved.FromString(said.payload)
        return moved.user, moved.what


class Json(Client):
    codec = "protogate.v1.json"

    def read(self, data):
        said = json.loads(data)
        envelope = wire.Envelope(**{key: int(said.get(key, 0)) for key in ("protocol", "id", "seq", "offset")}, topic=said.get("topic", ""))
        envelope.payload = json.dumps(said.get("payload", {})).encode()
        if status := said.get("status"):
            envelope.status.code, envelope.status.reason = status["code"], status["reason"]
        return envelope

    def written(self, protocol, id, message):
        payload = {field.json_name: value for field, value in message.ListFields()}
        return json.dumps({"protocol": protocol, "id": id, "payload": payload})

    def ready(self, said):
        return json.loads(said.payload)["sessionId"]

    def moved(self, said):
        moved = json.loads(said.payload)
        return moved["user"], moved["what"]


class Push(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = Table()
        files = {
            "routes/gateway.yaml": f'version: 1\npush: {{ address: "127.0.0.1:0", token: "{TOKEN}" }}\n',
            "routes/routes.yaml": ROUTES.format(port=cls.table.port),
            "proto/table.proto": TABLE_PROTO,
        }
        cls.gateway = Gateway(files)
        cls.service = cls.table.gateway = PushService(cls.gateway.push)

    @classmethod
    def tearDownClass(cls):
        cls.service.channel.close()
        code = cls.gateway.stop()
        cls.table.stop()
        assert code == 0, f"the gateway ended with {code}"

    async def push(self, *arguments, **target):
        return await asyncio.to_thread(self.service.push, *arguments, **target)

    async def refused(self, call, *arguments, **named):
        """The code and the reason with which a call fails."""
        with self.assertRaises(grpc.RpcError) as refused:
            await asyncio.to_thread(call, *arguments, **named)
        # google.rpc.Status holds google.rpc.ErrorInfo, and that the reason.
        details = dict(refused.exception.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        return refused.exception.code(), next((word for word in REASONS if word.encode() in details), details)

    async def sit(self, table, *clients):
        for client in clients:
            answer = await client.call(5001, wire.SitRequest(table=table))
            self.assertFalse(answer.HasField("status") and answer.status.code, answer)

    async def test_everybody_at_a_table_hears_what_one_of_them_does_in_their_codec(self):
        alice, bob = await Binary.login(self, "alice"), await Json.login(self, "bob")
        await self.sit("one", alice, bob)
        for number, (client, user, what) in enumerate([(alice, "alice", "e4"), (bob, "bob", "e5"), (alice, "alice", "Nf3 — „naïve“")], 1):
            answer = await client.call(5002, wire.MoveRequest(table="one", user="mallory", what=what))
            self.assertFalse(answer.HasField("status") and answer.status.code, answer)
            for hears in (alice, bob):
                self.assertEqual(await hears.hear_push(), (MOVED, "table/one", number, user, what))

    async def test_users_a_session_and_everyone(self):
        dave, dora, erin = await Binary.login(self, "dave"), await Json.login(self, "dave"), await Json.login(self, "erin")
        letter = wire.Moved(user="a service", what="to users")
        reached = await self.push(MOVED, letter, users=wire.Users(users=["dave", "erin", "nobody"]))
        self.assertEqual(reached.sessions, 3)
        for client in (dave, dora, erin):
            self.assertEqual(await client.hear_push(), (MOVED, "", 0, "a service", "to users"))

        letter.what = "to one session"
        reached = await self.push(MOVED, letter, session=wire.Session(user="dave", session=dora.session))
        self.assertEqual(reached.sessions, 1)
        self.assertEqual((await dora.hear_push())[-1], "to one session")
        self.assertTrue(await dave.hear_nothing())

        letter.what = "to everyone"
        await self.push(MOVED, letter, everyone=wire.Everyone())
        for client in (dave, dora, erin):
            self.assertEqual((await client.hear_push())[-1], "to everyone")

    async def test_what_is_durable_waits_for_who_is_away(self):
        for what in ("first", "second"):
            self.assertEqual((await self.push(LETTER, wire.Moved(user="a service", what=what), users=wire.Users(users=["faraway"]))).sessions, 0)
        for client in (await Binary.login(self, "faraway"), await Json.login(self, "faraway")):
            heard = [await client.hear_push(), await client.hear_push()]
            self.assertEqual([push[-1] for push in heard], ["first", "second"])

    async def test_a_service_ends_sessions_and_takes_users_out_of_topics(self):
        gina, hugo = await Binary.login(self, "gina"), await Json.login(self, "hugo")
        await self.sit("two", gina, hugo)
        topic = "table/two"

        async def members():
            """Who is there, once the gateway has written it down."""
            return [member.user for member in (await asyncio.to_thread(self.service.presence, topics=[topic])).topics[0].members]

        async def eventually(expected):
            for _ in range(1000):
                if await members() == expected:
                    return
                await asyncio.sleep(0.05)
            self.assertEqual(await members(), expected)

        await eventually(["gina", "hugo"])
        where = (await asyncio.to_thread(self.service.presence, users=["gina", "nobody"])).users
        self.assertEqual([[(at.session, at.connected) for at in user.sessions] for user in where], [[(gina.session, True)], []])

        await asyncio.to_thread(self.service.unsubscribe, topic, "hugo", reason="CHEATED")
        while (told := await hugo.hear()).protocol != 13:
            pass
        self.assertEqual((told.id, told.status.reason), (0, "CHEATED"))
        await eventually(["gina"])
        await gina.call(5002, wire.MoveRequest(table="two", what="alone"))
        self.assertEqual((await gina.hear_push())[-1], "alone")
        self.assertTrue(await hugo.hear_nothing())

        self.assertEqual(await asyncio.to_thread(self.service.kick, "gina"), 1)
        while (told := await gina.hear()).protocol != 11:
            pass
        self.assertEqual(wire.Goodbye.FromString(told.payload).code, 4501)
        await eventually([])
        self.assertEqual(await asyncio.to_thread(self.service.kick, "gina"), 0)

    async def test_who_shows_no_token_is_not_heard(self):
        ivan = await Binary.login(self, "ivan")
        for token in ("wrong and sixteen bytes long", ""):
            stranger = PushService(self.gateway.push, token)
            refused = await self.refused(stranger.push, MOVED, wire.Moved(what="no"), everyone=wire.Everyone())
            self.assertEqual(refused, (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"))
            stranger.channel.close()
        self.assertTrue(await ivan.hear_nothing())

    async def test_what_is_wrong_is_said_and_reaches_nobody(self):
        judy, kim = await Binary.login(self, "judy"), await Json.login(self, "kim")
        await self.sit("three", judy, kim)
        for client in (judy, kim):
            self.assertEqual((await client.call(12, wire.Subscribe(topic="news/today"))).protocol, 12)
        good, users = wire.Moved(user="a", what="b"), wire.Users(users=["judy", "kim"])
        # A length that is not there, a text that is no UTF-8, and a field of another type.
        for bad in (b"\x0a\x05hi", b"\x0a\x02\xff\xfe", b"\x08\x01"):
            for target in ({"topic": "table/three"}, {"topic": "news/today"}, {"users": users}, {"everyone": wire.Everyone()}):
                self.assertEqual(await self.refused(self.service.push, MOVED, bad, **target), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAYLOAD"))
            self.assertEqual(await self.refused(self.service.push, LETTER, bad, users=users), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAYLOAD"))
        for number, target, expected in (
            (5001, {"users": users}, (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_PUSH")),
            (9999, {"topic": "table/three"}, (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_PUSH")),
            (LETTER, {"topic": "table/three"}, (grpc.StatusCode.INVALID_ARGUMENT, "WRONG_TOPIC")),
            (MOVED, {"topic": "chair/three"}, (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC")),
            (MOVED, {"topic": "table/three/four"}, (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC")),
            (MOVED, {}, (grpc.StatusCode.INVALID_ARGUMENT, "NO_TARGET")),
        ):
            self.assertEqual(await self.refused(self.service.push, number, good, **target), expected, (number, target))
        refused = await self.refused(self.service.presence, topics=["chair/three"])
        self.assertEqual(refused, (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC"))
        # Behind all of it something good is the first that anybody hears.
        await self.push(MOVED, good, topic="table/three")
        for client in (judy, kim):
            self.assertEqual(await client.hear_push(), (MOVED, "table/three", 1, "a", "b"))


if __name__ == "__main__":
    unittest.main()
