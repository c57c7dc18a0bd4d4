"""Starts the gateway's binary on free ports with a configuration folder of its own, and a gRPC server for it to call."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2

import wire

BINARY = pathlib.Path(os.environ.get("PROTOGATE", "target/debug/protogate")).resolve()

TOP = pathlib.Path(__file__).resolve().parents[2]

WORDS_PROTO = """
syntax = "proto3";
package words.v1;
service Words {
  rpc Say(SayRequest) returns (SayReply);
  rpc Fail(SayRequest) returns (SayReply);
  rpc Sleep(SayRequest) returns (SayReply);
}
message SayRequest { string text = 1; string speaker = 2; uint64 sleep_ms = 3; }
message SayReply { string text = 1; repeated string metadata = 2; }
message Missing { string field = 1; uint64 position = 2; }
"""


def shipped():
    """The configuration that the repository ships, as the files of a Gateway."""
    paths = (path for folder in ("routes", "proto") for path in (TOP / folder).rglob("*"))
    return {str(path.relative_to(TOP)): path.read_text() for path in paths if path.is_file()}


class Words:
    """A gRPC server that remembers what it saw."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method, request_deserializer=wire.SayRequest.FromString, response_serializer=wire.SayReply.SerializeToString)
            for name, method in {"Say": self.say, "Fail": self.fail, "Sleep": self.sleep}.items()
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("words.v1.Words", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def say(self, request, context):
        metadata = sorted(f"{key}={value}" for key, value in context.invocation_metadata() if isinstance(value, str))
        return wire.SayReply(text=f"{request.speaker or 'nobody'} says {request.text}", metadata=metadata)

    def fail(self, request, context):
        missing = any_pb2.Any(type_url="type.googleapis.com/words.v1.Missing", value=wire.Missing(field="text", position=7).SerializeToString())
        # google.rpc.Status by hand: code = 1, message = 2, details = 3.
        detail = missing.SerializeToString()
        message = "that word is missing: naïve".encode()
        status = b"\x08\x09\x12" + bytes([len(message)]) + message + b"\x1a" + bytes([len(detail)]) + detail
        context.set_trailing_metadata((("grpc-status-details-bin", status),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "that word is missing: naïve")

    def sleep(self, request, context):
        context.add_callback(lambda: self.cancelled.set())
        deadline = time.monotonic() + request.sleep_ms / 1000
        while context.is_active() and time.monotonic() < deadline:
            time.sleep(0.01)
        return wire.SayReply(text="slept")

    def stop(self):
        self.server.stop(None).wait()


class Gateway:
    """The binary, running on `files`: name → text or bytes, in a folder of its own."""

    def __init__(self, files, environment=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="protogate-"))
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
        ready = self.folder / "ready.json"
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", self.folder / "routes", "--data", self.folder / "data",
             "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready],
            stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"the gateway did not start:\n{self.log.read()}")
            time.sleep(0.02)
        addresses = json.loads(ready.read_text())
        self.edge, self.admin = addresses["edge"], addresses["admin"]
        # Where services push, if the files say so.
        self.push = addresses.get("push")
        self.url = f"ws://{self.edge}/ws"

    def cli(self, *arguments):
        """Runs a command of the binary beside the gateway."""
        return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=180, cwd=self.folder)

    def token(self, user, roles):
        return self.cli("token", "issue", "--data", self.folder / "data", "--user", user, "--roles", ",".join(roles)).stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.folder)
        return code
