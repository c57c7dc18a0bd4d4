"""All four kinds of methods of a `grpcio` server, from a client written with `websockets` and `protobuf` alone."""

import asyncio
import threading
import time
import unittest
from concurrent import futures

import grpc
import websockets

import wire
from gateway import Gateway

PROTO = """
syntax = "proto3";
package words.v1;
service Talks {
  rpc Say(SayRequest) returns (SayReply);
  rpc Count(SayRequest) returns (stream SayReply);
  rpc Join(stream SayRequest) returns (SayReply);
  rpc Talk(stream SayRequest) returns (stream SayReply);
}
message SayRequest { string text = 1; string speaker = 2; uint64 sleep_ms = 3; }
message SayReply { string text = 1; repeated string metadata = 2; }
"""

ROUTES = """
version: 1
descriptors: [{{ proto: ../proto }}]
backends: {{ talks: {{ grpc: {{ endpoints: ["http://127.0.0.1:{port}"] }} }} }}
defaults: {{ backend: talks, access: anonymous }}
routes:
  5001: {{ name: talks.say, rpc: words.v1.Talks/Say }}
  5002: {{ name: talks.count, rpc: words.v1.Talks/Count }}
  5003: {{ name: talks.join, rpc: words.v1.Talks/Join }}
  5004: {{ name: talks.talk, rpc: words.v1.Talks/Talk }}
"""

CANCELLED, CANCEL = 1, 15


class Talks:
    """A gRPC server of streams that remembers which were cancelled."""

    def __init__(self):
        self.cancelled = threading.Semaphore(0)
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        coders = {"request_deserializer": wire.SayRequest.FromString, "response_serializer": wire.SayReply.SerializeToString}
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(lambda request, _: wire.SayReply(text=request.text), **coders),
            "Count": grpc.unary_stream_rpc_method_handler(self.count, **coders),
            "Join": grpc.stream_unary_rpc_method_handler(self.join, **coders),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk, **coders),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("words.v1.Talks", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def watch(self, context):
        # Called at every end; an end that is no cancellation has a code by then.
        context.add_callback(lambda: context.code() is None and self.cancelled.release())

    def count(self, request, context):
        self.watch(context)
        for number in range(int(request.text)):
            yield wire.SayReply(text=str(number))
        while request.sleep_ms and context.is_active():
            time.sleep(0.01)

    def join(self, requests, context):
        self.watch(context)
        return wire.SayReply(text=" ".join(request.text for request in requests))

    def talk(self, requests, context):
        self.watch(context)
        for request in requests:
            if request.text == "no more":
                context.abort(grpc.StatusCode.CANCELLED, "that was enough")
            yield wire.SayReply(text=f"you say {request.text}")

    def stop(self):
        self.server.stop(None).wait()


class Client:
    """Speaks binary envelopes, and keeps apart what comes on which stream."""

    def __init__(self, socket):
        self.socket = socket

    @staticmethod
    async def connect(test):
        socket = await websockets.connect(test.gateway.url, subprotocols=["protogate.v1.proto"])
        test.addAsyncCleanup(socket.close)
        client = Client(socket)
        client.hello = wire.Hello.FromString((await client.read()).payload)
        return client

    async def read(self):
        return wire.Envelope.FromString(await asyncio.wait_for(self.socket.recv(), 60))

    async def say(self, protocol=0, id=0, message=None, **fields):
        payload = message.SerializeToString() if message is not None else b""
        await self.socket.send(wire.Envelope(protocol=protocol, id=id, payload=payload, **fields).SerializeToString())

    async def next(self, id):
        """The next on a stream that is no grant."""
        while True:
            envelope = await self.read()
            if envelope.id == id and not (envelope.protocol == 0 and envelope.credit):
                return envelope

    async def rest(self, id):
        """Texts up to the end, and the end. What is read is granted again."""
        texts = []
        while True:
            envelope = await self.next(id)
            if not envelope.more:
                return texts, envelope
            texts.append(wire.SayReply.FromString(envelope.payload).text)
            await self.say(id=id, credit=1)


class Streams(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.talks = Talks()
        cls.gateway = Gateway({"routes/routes.yaml": ROUTES.format(port=cls.talks.port), "proto/talks.proto": PROTO})

    @classmethod
    def tearDownClass(cls):
        code = cls.gateway.stop()
        cls.talks.stop()
        assert code == 0, f"the gateway ended with {code}"

    async def assert_cancelled(self):
        seen = await asyncio.to_thread(self.talks.cancelled.acquire, timeout=60)
        self.assertTrue(seen, "the service sees that nobody waits")

    async def test_one_message_and_one_answer(self):
        client = await Client.connect(self)
        await client.say(5001, 1, wire.SayRequest(text="hi"))
        self.assertEqual(wire.SayReply.FromString((await client.next(1)).payload).text, "hi")

    async def test_one_message_and_many_answers(self):
        client = await Client.connect(self)
        self.assertGreater(client.hello.stream_credit, 0)
        await client.say(5002, 2, wire.SayRequest(text="100"))
        texts, end = await client.rest(2)
        self.assertEqual(texts, [str(number) for number in range(100)])
        self.assertTrue(end.HasField("status") and end.status.code == 0 and end.protocol == 0)

    async def test_many_messages_and_one_answer(self):
        client = await Client.connect(self)
        await client.say(5003, 3, wire.SayRequest(text="a"), more=True)
        await client.say(0, 3, wire.SayRequest(text="b"), more=True)
        await client.say(0, 3)
        answer = await client.next(3)
        self.assertEqual((answer.protocol, answer.more, answer.HasField("status")), (5003, False, False))
        self.assertEqual(wire.SayReply.FromString(answer.payload).text, "a b")

    async def test_many_messages_and_many_answers(self):
        client = await Client.connect(self)
        await client.say(5004, 4, wire.SayRequest(text="a"), more=True)
        self.assertEqual(wire.SayReply.FromString((await client.next(4)).payload).text, "you say a")
        await client.say(0, 4, wire.SayRequest(text="b"), more=True)
        await client.say(0, 4)
        texts, end = await client.rest(4)
        self.assertEqual((texts, end.status.code), (["you say b"], 0))

    async def test_the_client_cancels(self):
        client = await Client.connect(self)
        for id, protocol, message in [(5, 5002, wire.SayRequest(text="1", sleep_ms=1)), (6, 5004, wire.SayRequest(text="a"))]:
            await client.say(protocol, id, message, more=protocol == 5004)
            await client.next(id)
            await client.say(CANCEL, 0, wire.Cancel(id=id))
            end = await client.next(id)
            self.assertEqual((end.protocol, end.status.code, end.status.reason), (protocol, CANCELLED, "CANCELLED"))
            await self.assert_cancelled()

    async def test_the_service_cancels(self):
        client = await Client.connect(self)
        await client.say(5004, 7, wire.SayRequest(text="no more"), more=True)
        end = await client.next(7)
        self.assertEqual((end.protocol, end.status.code, end.status.source, end.status.message), (5004, CANCELLED, 1, "that was enough"))

    async def test_a_client_that_goes_cancels(self):
        client = await Client.connect(self)
        await client.say(5002, 8, wire.SayRequest(text="1000000"))
        await client.next(8)
        await client.socket.close()
        await self.assert_cancelled()


if __name__ == "__main__":
    unittest.main()
