"""Accounts and sessions, binary, with a client that has no code of ours: register, log in, bearer subprotocol, resume."""

import asyncio
import base64
import unittest

import websockets

import wire
from gateway import Gateway, shipped

BINARY = "protogate.v1.proto"


class Client:
    """Speaks binary envelopes, and answers nothing by itself."""

    def __init__(self, socket):
        self.socket = socket
        self.next_id = 0

    @staticmethod
    async def connect(test, *offered):
        socket = await websockets.connect(test.gateway.url, subprotocols=[BINARY, *offered])
        test.addAsyncCleanup(socket.close)
        test.assertEqual(socket.subprotocol, BINARY, "a token is never echoed")
        client = Client(socket)
        test.assertEqual((await client.read()).protocol, 1, "Hello comes first")
        return client

    async def read(self):
        while True:
            envelope = wire.Envelope.FromString(await asyncio.wait_for(self.socket.recv(), 60))
            if envelope.protocol != 6:
                return envelope

    async def send(self, protocol, message):
        self.next_id += 1
        await self.socket.send(wire.Envelope(protocol=protocol, id=self.next_id, payload=message.SerializeToString()).SerializeToString())
        return self.next_id

    async def call(self, protocol, message):
        sent = await self.send(protocol, message)
        while (answer := await self.read()).id != sent:
            pass
        return answer


class Accounts(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(shipped())

    @classmethod
    def tearDownClass(cls):
        assert cls.gateway.stop() == 0

    async def enter(self, client, protocol, message):
        """Calls what binds the connection: Ready comes unasked, and before the reply."""
        sent = await client.send(protocol, message)
        ready = await client.read()
        self.assertEqual((ready.protocol, ready.id), (3, 0))
        reply = await client.read()
        self.assertEqual((reply.protocol, reply.id, reply.HasField("status")), (protocol, sent, False))
        return wire.Ready.FromString(ready.payload), wire.LoginResponse.FromString(reply.payload)

    async def who(self, client):
        answer = await client.call(1007, wire.GetUserInfoRequest(user_id="somebody else"))
        return wire.GetUserInfoResponse.FromString(answer.payload).user.username

    async def test_from_registering_to_resuming(self):
        client = await Client.connect(self)
        ready, registered = await self.enter(client, 1002, wire.RegisterRequest(username="alice", password="correct horse", email="alice@example.com"))
        self.assertEqual(ready.user, registered.user.user_id)
        self.assertEqual(await self.who(client), "alice")

        other = await Client.connect(self)
        _, reply = await self.enter(other, 1001, wire.LoginRequest(username="Alice", password="correct horse"))
        bearer = base64.urlsafe_b64encode(reply.access_token.encode()).decode().rstrip("=")
        known = await Client.connect(self, f"protogate.bearer.{bearer}")
        self.assertEqual((await known.read()).protocol, 3)
        self.assertEqual(await self.who(known), "alice")

        # The connection breaks off, and another goes on with its session, without any token.
        client.socket.transport.abort()
        again = await Client.connect(self)
        resumed = await again.call(4, wire.Resume(resume_token=ready.resume_token))
        self.assertEqual(resumed.protocol, 5)
        resumed = wire.Resumed.FromString(resumed.payload)
        self.assertTrue(resumed.recovered)
        self.assertEqual(resumed.ready.session_id, ready.session_id)
        self.assertEqual(await self.who(again), "alice")

    async def test_a_refusal_has_a_reason_and_typed_details(self):
        client = await Client.connect(self)
        status = (await client.call(1002, wire.RegisterRequest(username="bob", password="123", email="bob@example.com"))).status
        self.assertEqual((status.code, status.reason), (3, "WEAK_PASSWORD"))
        self.assertIn("type.googleapis.com/google.rpc.BadRequest", [detail.type_url for detail in status.details])
        status = (await client.call(1001, wire.LoginRequest(username="nobody", password="correct horse"))).status
        self.assertEqual((status.code, status.reason), (16, "INVALID_CREDENTIALS"))


if __name__ == "__main__":
    unittest.main()
