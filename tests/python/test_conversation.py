"""A client written with `websockets` and `protobuf` alone talks to a `grpcio` server through the gateway."""

import asyncio
import json
import unittest

import websockets

import wire
from gateway import WORDS_PROTO, Gateway, Words

ROUTES = """
version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  words: {{ grpc: {{ endpoints: ["http://127.0.0.1:{port}"] }} }}
permissions:
  roles:
    speaker: {{ grant: ["words.*"] }}
defaults: {{ backend: words }}
routes:
  5001: {{ name: words.say, rpc: words.v1.Words/Say, access: anonymous, metadata: [x-mood] }}
  5002: {{ name: words.fail, rpc: words.v1.Words/Fail, access: anonymous }}
  5003: {{ name: words.sleep, rpc: words.v1.Words/Sleep, access: anonymous, timeout: 300ms }}
  5004: {{ name: words.sleep_long, rpc: words.v1.Words/Sleep, access: anonymous, timeout: 30s }}
  5005: {{ name: words.say_as, rpc: words.v1.Words/Say, permissions: [words.say], set: {{ request.speaker: session.user }} }}
"""


class Client:
    """Speaks binary envelopes."""

    def __init__(self, socket):
        self.socket = socket
        self.next_id = 0

    @staticmethod
    async def connect(test, **headers):
        """Connects for as long as the test lasts."""
        socket = await websockets.connect(test.gateway.url, subprotocols=["protogate.v1.proto"], additional_headers=headers)
        test.addAsyncCleanup(socket.close)
        client = Client(socket)
        client.hello = wire.Hello.FromString((await client.read()).payload)
        return client

    async def read(self):
        return wire.Envelope.FromString(await asyncio.wait_for(self.socket.recv(), 60))

    async def send(self, protocol, message, **fields):
        self.next_id += 1
        envelope = wire.Envelope(protocol=protocol, id=self.next_id, payload=message.SerializeToString(), **fields)
        await self.socket.send(envelope.SerializeToString())
        return self.next_id

    async def call(self, protocol, message, **fields):
        sent = await self.send(protocol, message, **fields)
        while True:
            answer = await self.read()
            if answer.id == sent:
                return answer


class Conversation(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.words = Words()
        cls.gateway = Gateway({"routes/routes.yaml": ROUTES.format(port=cls.words.port), "proto/words.proto": WORDS_PROTO})

    @classmethod
    def tearDownClass(cls):
        code = cls.gateway.stop()
        cls.words.stop()
        assert code == 0, f"the gateway ended with {code}"

    async def test_a_binary_call_is_answered(self):
        client = await Client.connect(self)
        self.assertGreater(client.hello.message_bytes_max, 0)
        answer = await client.call(5001, wire.SayRequest(text="hello", speaker="bob"))
        self.assertEqual(wire.SayReply.FromString(answer.payload).text, "bob says hello")
        self.assertEqual(answer.protocol, 5001)
        self.assertFalse(answer.HasField("status"))

    async def test_a_json_call_is_answered(self):
        async with websockets.connect(self.gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            hello = json.loads(await socket.recv())
            self.assertEqual(hello["protocol"], 1)
            await socket.send(json.dumps({"protocol": 5001, "id": 3, "payload": {"text": "hi", "sleepMs": "0"}}))
            answer = json.loads(await socket.recv())
            self.assertEqual((answer["protocol"], answer["id"], answer["payload"]["text"]), (5001, 3, "nobody says hi"))

    async def test_an_error_arrives_with_its_details(self):
        client = await Client.connect(self)
        status = (await client.call(5002, wire.SayRequest(text="x"))).status
        self.assertEqual((status.code, status.reason, status.message, status.source), (9, "FAILED_PRECONDITION", "that word is missing: naïve", 1))
        self.assertEqual(status.details[0].type_url, "type.googleapis.com/words.v1.Missing")
        self.assertEqual(wire.Missing.FromString(status.details[0].value).position, 7)

    async def test_details_are_json_for_a_json_client(self):
        async with websockets.connect(self.gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            await socket.recv()
            await socket.send(json.dumps({"protocol": 5002, "id": 1, "payload": {}}))
            status = json.loads(await socket.recv())["status"]
            self.assertEqual(status["details"], [{"@type": "type.googleapis.com/words.v1.Missing", "field": "text", "position": "7"}])

    async def test_a_call_ends_at_the_routes_deadline(self):
        client = await Client.connect(self)
        status = (await client.call(5003, wire.SayRequest(sleep_ms=20_000))).status
        self.assertEqual((status.code, status.reason), (4, "DEADLINE_EXCEEDED"))

    async def test_a_call_ends_at_the_clients_deadline_when_that_is_earlier(self):
        client = await Client.connect(self)
        status = (await client.call(5004, wire.SayRequest(sleep_ms=20_000), deadline_ms=100)).status
        self.assertEqual((status.code, status.reason), (4, "DEADLINE_EXCEEDED"))

    async def test_the_server_sees_a_client_leave(self):
        client = await Client.connect(self)
        self.words.cancelled.clear()
        await client.send(5004, wire.SayRequest(sleep_ms=20_000))
        await client.call(5001, wire.SayRequest(text="the other call is on its way"))
        await client.socket.close()
        self.assertTrue(await asyncio.to_thread(self.words.cancelled.wait, 5))

    async def test_calls_on_one_connection_do_not_wait_for_each_other(self):
        client = await Client.connect(self)
        slow = await client.send(5004, wire.SayRequest(sleep_ms=400))
        quick = await client.send(5001, wire.SayRequest(text="quick"))
        self.assertEqual([(await client.read()).id for _ in range(2)], [quick, slow])

    async def test_identity_comes_from_the_token_alone(self):
        client = await Client.connect(self)
        refused = await client.call(5005, wire.SayRequest(text="hi"))
        self.assertEqual((refused.status.code, refused.status.reason), (16, "UNAUTHENTICATED"))
        ready = await client.call(2, wire.Authenticate(token=self.gateway.token("alice", ["speaker"])))
        self.assertEqual((ready.protocol, wire.Ready.FromString(ready.payload).user), (3, "alice"))
        answer = await client.call(5005, wire.SayRequest(text="hi", speaker="mallory"))
        reply = wire.SayReply.FromString(answer.payload)
        self.assertEqual(reply.text, "alice says hi")
        self.assertIn("protogate-user=alice", reply.metadata)
        self.assertIn("protogate-route=words.say_as", reply.metadata)

    async def test_a_role_without_the_permission_is_refused(self):
        client = await Client.connect(self, Authorization=f"Bearer {self.gateway.token('bob', ['listener'])}")
        status = (await client.call(5005, wire.SayRequest(text="hi"))).status
        self.assertEqual((status.code, status.reason), (7, "PERMISSION_DENIED"))
        self.assertIn("words.say", status.message)

    async def test_a_bad_token_closes_with_4500(self):
        client = await Client.connect(self, Authorization="Bearer nonsense")
        with self.assertRaises(websockets.ConnectionClosed) as closed:
            goodbye = await client.read()
            self.assertEqual(goodbye.protocol, 11)
            await client.read()
        self.assertEqual(closed.exception.rcvd.code, 4500)


if __name__ == "__main__":
    unittest.main()
