"""A guard in Python, in a package of its own, decides about calls to another service."""

import json
import pathlib
import unittest
from concurrent import futures

import grpc
import websockets

import wire
from gateway import TOP, WORDS_PROTO, Gateway, Words

AUTHZ_PROTO = """
syntax = "proto3";
package shop.v1;
import "protogate/guard/v1/guard.proto";
service Authz { rpc Decide(protogate.guard.v1.CheckRequest) returns (protogate.guard.v1.CheckResponse); }
"""

ROUTES = """
version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  words: {{ grpc: {{ endpoints: ["http://127.0.0.1:{words}"] }} }}
  authz: {{ grpc: {{ endpoints: ["http://127.0.0.1:{authz}"] }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 1000/s }} }}
routes:
  5001:
    name: words.say
    rpc: words.v1.Words/Say
    backend: words
    access: anonymous
    rate_limits: [plenty]
    guards: [{{ rpc: shop.v1.Authz/Decide, backend: authz, timeout: 2s, send_payload: true }}]
"""


class Authz:
    """Lets nobody shout."""

    def __init__(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        decide = grpc.unary_unary_rpc_method_handler(
            self.decide, request_deserializer=wire.CheckRequest.FromString, response_serializer=wire.CheckResponse.SerializeToString)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Authz", {"Decide": decide}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def decide(self, request, context):
        text = wire.SayRequest.FromString(request.payload).text
        if text == "crash":
            raise RuntimeError("the guard has a defect")
        if text.isupper():
            return wire.CheckResponse(reason="TOO_LOUD", message=f"`{request.rpc}` is for quiet words")
        return wire.CheckResponse(allow=True)

    def stop(self):
        self.server.stop(None).wait()


class Guarded(unittest.IsolatedAsyncioTestCase):
    async def test_a_guard_decides_by_what_the_service_would_read(self):
        words, authz = Words(), Authz()
        self.addCleanup(words.stop)
        self.addCleanup(authz.stop)
        guard_proto = pathlib.Path("proto/protogate/guard/v1/guard.proto")
        gateway = Gateway({
            "routes/routes.yaml": ROUTES.format(words=words.port, authz=authz.port),
            "proto/words.proto": WORDS_PROTO,
            "proto/authz.proto": AUTHZ_PROTO,
            str(guard_proto): (TOP / guard_proto).read_text(),
        })
        self.addCleanup(gateway.stop)

        async with websockets.connect(gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            await socket.recv()

            async def say(text):
                await socket.send(json.dumps({"protocol": 5001, "id": 1, "payload": {"text": text}}))
                return json.loads(await socket.recv())

            self.assertEqual((await say("hello"))["payload"]["text"], "nobody says hello")
            status = (await say("HELLO"))["status"]
            self.assertEqual((status["code"], status["reason"], status["message"]),
                             (7, "TOO_LOUD", "`words.v1.Words/Say` is for quiet words"))
            self.assertEqual((await say("crash"))["status"]["reason"], "GUARD_UNAVAILABLE")


if __name__ == "__main__":
    unittest.main()
