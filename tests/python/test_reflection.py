"""A server that nobody changed for the gateway: grpcio's own health and reflection services, routed by what they tell."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request
from concurrent import futures

import grpc
import websockets
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway import BINARY, Gateway

ROUTES = """
version: 1
descriptors: [{{ reflection: health, lock: health.lock.binpb, services: [grpc.health.v1.Health], refresh: 1s }}]
backends:
  health: {{ grpc: {{ endpoints: ["http://127.0.0.1:{port}"] }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 1000/s }} }}
routes:
  5001: {{ name: health.check, rpc: grpc.health.v1.Health/Check, backend: health, access: anonymous, rate_limits: [plenty] }}
"""


class Health:
    """The server."""

    def __init__(self, port=0):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        servicer = health.HealthServicer()
        servicer.set("chess", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self.server)
        names = [service.full_name for service in health_pb2.DESCRIPTOR.services_by_name.values()]
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()


def protogate(folder, *arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=180, cwd=folder)


class Reflection(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="protogate-lock-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.health = Health()
        self.addCleanup(self.health.stop)
        (self.folder / "routes").mkdir()
        (self.folder / "routes/routes.yaml").write_text(ROUTES.format(port=self.health.port))

    def lock(self, *arguments):
        return protogate(self.folder, "lock", *arguments)

    def files(self):
        return {f"routes/{path.name}": path.read_bytes() for path in (self.folder / "routes").iterdir()}

    def start(self):
        gateway = Gateway(self.files())
        self.addCleanup(gateway.stop)
        return gateway

    async def check(self, gateway, service):
        async with websockets.connect(gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            await socket.recv()
            await socket.send(json.dumps({"protocol": 5001, "id": 1, "payload": {"service": service}}))
            return json.loads(await socket.recv())

    def state(self, gateway):
        token = (gateway.folder / "data/admin.token").read_text()
        request = urllib.request.Request(f"http://{gateway.admin}/api/v1/descriptors", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["locks"]

    def wait_for(self, gateway, state):
        deadline = time.monotonic() + 60
        while True:
            [lock] = self.state(gateway)
            if lock["state"] == state:
                return lock
            self.assertLess(time.monotonic(), deadline, lock)
            time.sleep(0.05)

    async def test_a_server_is_routed_by_what_it_tells_and_the_gateway_starts_again_without_it(self):
        refused = protogate(self.folder, "check")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("run `protogate lock`", refused.stdout)

        locked = self.lock()
        self.assertEqual((locked.returncode, locked.stderr), (0, ""), locked.stderr)
        self.assertIn("health: locked 1 service in 1 file", locked.stdout)
        self.assertIn("  + service grpc.health.v1.Health", locked.stdout)
        self.assertIn("health: unchanged", self.lock("health").stdout)

        gateway = self.start()
        self.assertEqual((await self.check(gateway, ""))["payload"], {"status": "SERVING"})
        self.assertEqual((await self.check(gateway, "chess"))["payload"], {"status": "NOT_SERVING"})
        self.assertEqual((await self.check(gateway, "checkers"))["status"]["code"], 5)
        self.wait_for(gateway, "agrees")

        self.health.stop()
        again = self.start()
        self.assertEqual((await self.check(again, ""))["status"]["reason"], "UNAVAILABLE")
        self.assertEqual(self.state(again)[0]["state"], "unknown")
        unreachable = self.lock()
        self.assertEqual(unreachable.returncode, 69)
        self.assertIn("the backend `health` cannot be asked", unreachable.stderr)

    async def test_a_lock_that_the_server_has_left_behind_is_reported_and_changes_nothing(self):
        self.lock()
        path = self.folder / "routes/health.lock.binpb"
        # As if the service had been another when it was locked.
        lock = path.read_bytes()
        path.write_bytes(lock.replace(b"UNKNOWN", b"UNHEARD"))
        gateway = self.start()
        lock = self.wait_for(gateway, "differs")
        self.assertEqual(lock["changes"], [{"kind": "message", "name": "grpc.health.v1.HealthCheckResponse", "is": "changed"}])
        self.assertEqual((await self.check(gateway, ""))["payload"], {"status": "SERVING"})

        locked = self.lock()
        self.assertIn("  ~ message grpc.health.v1.HealthCheckResponse", locked.stdout)
        (gateway.folder / "routes/health.lock.binpb").write_bytes(path.read_bytes())
        self.wait_for(gateway, "agrees")

    def test_what_cannot_be_locked_is_said(self):
        unknown = self.lock("games")
        self.assertEqual(unknown.returncode, 1)
        self.assertIn("no source under `descriptors:` says `reflection: games`", unknown.stderr + unknown.stdout)
        routes = self.folder / "routes/routes.yaml"
        routes.write_text(routes.read_text().replace("services: [grpc.health.v1.Health], ", ""))
        nothing = self.lock()
        self.assertEqual(nothing.returncode, 1)
        self.assertIn("no service but reflection and health", nothing.stderr)
        # Other mistakes do not matter.
        routes.write_text(ROUTES.format(port=self.health.port) + "  5002: { name: wrong, rpc: a.B/C, backend: nobody }\n")
        locked = self.lock()
        self.assertEqual(locked.returncode, 0, locked.stderr)
        self.assertIn("see `protogate check`", locked.stderr)


if __name__ == "__main__":
    unittest.main()
