"""From a server that nobody changed for the gateway to an answer: `init` asks it by reflection, and what it writes is served as it is."""

import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway import BINARY, TOP, Gateway


def declared():
    """The descriptors of chess.v1, as a .proto file would have made them."""
    file = descriptor_pb2.FileDescriptorProto(name="chess/v1/chess.proto", package="chess.v1", syntax="proto3")
    for name, fields in {"Move": [("player", 1), ("square", 2)], "Moved": [("text", 1)]}.items():
        message = file.message_type.add(name=name)
        for field, number in fields:
            message.field.add(name=field, number=number, type=9, label=1)
    for service, methods in {"Chess": [("Play", False, False), ("Watch", False, True), ("Talk", True, True)], "Lobby": [("Enter", False, False)]}.items():
        declared = file.service.add(name=service)
        for name, takes_stream, gives_stream in methods:
            declared.method.add(name=name, input_type=".chess.v1.Move", output_type=".chess.v1.Moved",
                                client_streaming=takes_stream, server_streaming=gives_stream)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


class Server:
    """A grpcio server with two services, reflection and health."""

    def __init__(self):
        pool = declared()
        Move, Moved = (message_factory.GetMessageClass(pool.FindMessageTypeByName(f"chess.v1.{name}")) for name in ("Move", "Moved"))
        handler = {"request_deserializer": Move.FromString, "response_serializer": Moved.SerializeToString}

        def play(move, context):
            return Moved(text=f"{move.player or 'somebody'} to {move.square}")

        def watch(move, context):
            for number in range(3):
                yield Moved(text=f"{move.square} {number}")

        def talk(moves, context):
            for move in moves:
                yield Moved(text=move.square)

        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        self.server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler("chess.v1.Chess", {
                "Play": grpc.unary_unary_rpc_method_handler(play, **handler),
                "Watch": grpc.unary_stream_rpc_method_handler(watch, **handler),
                "Talk": grpc.stream_stream_rpc_method_handler(talk, **handler),
            }),
            grpc.method_handlers_generic_handler("chess.v1.Lobby", {"Enter": grpc.unary_unary_rpc_method_handler(play, **handler)}),
        ))
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), self.server)
        reflection.enable_server_reflection(["chess.v1.Chess", "chess.v1.Lobby", reflection.SERVICE_NAME], self.server, pool=pool)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()


class Init(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="protogate-init-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server()
        self.addCleanup(self.server.stop)

    def protogate(self, *arguments):
        return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=180, cwd=self.folder)

    def init(self, *arguments):
        return self.protogate("init", "--from", f"http://127.0.0.1:{self.server.port}", *arguments)

    def files(self):
        return {f"routes/{path.name}": path.read_bytes() for path in (self.folder / "routes").iterdir()}

    def start(self):
        gateway = Gateway(self.files())
        self.addCleanup(gateway.stop)
        return gateway

    def call(self, gateway, *arguments):
        """As `init` prints it, but for the port, which is a free one here."""
        answer = gateway.cli("call", *arguments, "--url", gateway.url, "--data", gateway.folder / "data")
        return answer.returncode, answer.stdout + answer.stderr

    def test_a_server_that_has_reflection_is_called_with_no_edit(self):
        made = self.init()
        self.assertEqual((made.returncode, made.stderr), (0, ""), made.stderr)
        self.assertIn("routes: 4 routes of 2 services, in 6 files", made.stdout)
        self.assertEqual(sorted(self.files()), [
            "routes/1000_chess.yaml", "routes/2000_lobby.yaml", "routes/descriptors.lock.binpb", "routes/gateway.yaml",
            "routes/routes.development.yaml", "routes/routes.yaml"])
        for environment in ("development", "testing"):
            checked = self.protogate("check", "--deny-warnings", "--env", environment)
            self.assertEqual(checked.returncode, 0, checked.stdout)
            self.assertIn("0 errors, 0 warnings, 4 routes", checked.stdout)
        # The lock is what `lock` would have written.
        self.assertIn("unchanged, 2 services in 1 file", self.protogate("lock").stdout)

        gateway = self.start()
        command = next(line.strip() for line in made.stdout.splitlines() if line.strip().startswith("protogate call"))
        self.assertEqual(command, """protogate call 1001 '{"player":"","square":""}'""")
        code, told = self.call(gateway, 1001, '{"player":"","square":""}')
        self.assertEqual((code, told.strip()), (0, '{"text":"somebody to "}'))
        code, told = self.call(gateway, 1001, '{"player":"alice","square":"e4"}')
        self.assertEqual((code, told.strip()), (0, '{"text":"alice to e4"}'))
        code, told = self.call(gateway, 1002, '{"square":"e4"}')
        self.assertEqual((code, told.split("\n")[:3]), (0, ['{"text":"e4 0"}', '{"text":"e4 1"}', '{"text":"e4 2"}']))
        code, told = self.call(gateway, 2001, '{"square":"in"}')
        self.assertEqual((code, told.strip()), (0, '{"text":"somebody to in"}'))

    def test_the_page_on_starting_is_as_it_says(self):
        page = (TOP / "docs/starting.md").read_text()
        commands = [shlex.split(line)[2:] for line in page.splitlines() if line.startswith("$ protogate ")]
        self.assertGreaterEqual(len(commands), 6)
        for command, *arguments in commands:
            if command == "serve":
                gateway = self.start()
            elif command == "call":
                code, told = self.call(gateway, *arguments)
                self.assertEqual(code, 0, told)
            else:
                done = self.protogate(command, *[argument.replace("50051", str(self.server.port)) for argument in arguments])
                self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("### 1001 chess.play", (self.folder / "reference.md").read_text())
        self.assertIn("<title>Chess</title>", (self.folder / "reference.html").read_text())

    def test_only_in_development_everybody_may_call(self):
        self.init()
        (self.folder / "routes/routes.development.yaml").unlink()
        gateway = self.start()
        code, told = self.call(gateway, 1001)
        self.assertEqual(code, 1)
        self.assertIn("UNAUTHENTICATED", told)
        code, told = self.call(gateway, 1001, "{}", "--as", "alice")
        self.assertEqual(code, 1)
        self.assertIn("PERMISSION_DENIED", told)
        code, told = self.call(gateway, 1001, "{}", "--as", "alice", "--roles", "user")
        self.assertEqual((code, told.strip()), (0, '{"text":"somebody to "}'))

    def test_what_is_there_is_not_written_over_and_nothing_is_written_beside_it(self):
        routes = self.folder / "routes"
        routes.mkdir()
        (routes / "gateway.yaml").write_text("version: 1\n")
        refused = self.init()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nothing is written, because these are there already:\n  routes/gateway.yaml\n", refused.stderr)
        self.assertEqual(list(self.files()), ["routes/gateway.yaml"])
        # Files of other names are in nobody's way.
        (routes / "gateway.yaml").rename(routes / "other.yaml")
        self.assertEqual(self.init().returncode, 0)
        self.assertEqual(len(self.files()), 7)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["routes"], "nothing is left beside the folder")

    def test_a_server_that_is_not_there_leaves_nothing_behind(self):
        port = self.server.port
        self.server.stop()
        refused = self.protogate("init", "--from", f"http://127.0.0.1:{port}")
        self.assertEqual(refused.returncode, 69)
        self.assertIn("cannot be asked", refused.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
