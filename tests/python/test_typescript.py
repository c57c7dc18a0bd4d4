"""The generated TypeScript client: that it compiles, that it does what it should by itself, and a conversation over two gateways with a
cut and a drain, in Node and in Chromium."""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
from concurrent import futures

import grpc
from google.protobuf import (any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, json_format, message_factory, struct_pb2,
                             timestamp_pb2, wrappers_pb2)

from browser import Browser
from gateway import BINARY, TOP, Gateway, shipped

HERE = TOP / "tests" / "clients" / "typescript"
GENERATED = HERE / "generated"

STEPS = ["login", "join", "pushes", "resume", "drain", "close"]


def run(*command, cwd=HERE, timeout=600):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def generate(name, *arguments):
    run(BINARY, "codegen", "typescript", "--out", GENERATED / name, *arguments, cwd=TOP)


def bundle(source, platform):
    out = GENERATED / f"{pathlib.Path(source).stem}.{platform}.mjs"
    run(HERE / "node_modules/.bin/esbuild", source, "--bundle", f"--platform={platform}", "--format=esm", f"--outfile={out}", "--log-level=warning",
        *(["--external:ws"] if platform == "node" else []))
    return out


def setUpModule():
    if not (HERE / "node_modules" / "esbuild").exists():
        raise AssertionError(f"run `npm ci` in {HERE} first, as tests/run does")
    shutil.rmtree(GENERATED, ignore_errors=True)
    generate("shipped", "--config", TOP / "routes")
    generate("nasty", "--config", HERE / "fixture" / "routes")


class Proxy:
    """Carries connections to where it is told, and cuts them when it is told."""

    def __init__(self, target):
        self.target = target
        self.held = threading.Event()
        self.held.set()
        self.pairs, self.lock = [], threading.Lock()
        # What came from the gateway is kept back while this is not set, so that a call can be in flight for certain.
        self.flows = threading.Event()
        self.flows.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/ws"

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if not self.held.is_set():
                    near.close()
                    continue
                host, port = self.target.rsplit(":", 1)
                try:
                    far = socket.create_connection((host, int(port)))
                except OSError:
                    near.close()
                    continue
                with self.lock:
                    self.pairs.append((near, far))
                for one, other, waits in [(near, far, False), (far, near, True)]:
                    threading.Thread(target=self.carry, args=(one, other, waits), daemon=True).start()

    def carry(self, one, other, waits):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if waits:
                    self.flows.wait()
                other.sendall(data)
        self.end(one, other)

    @staticmethod
    def end(*sockets):
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self):
        self.held.clear()
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            self.end(*pair)
        self.flows.set()

    def close(self):
        self.listener.close()
        self.cut()


class Redis:
    """A store for gateways that are two."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="protogate-redis-")
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder], stdout=subprocess.DEVNULL)
            if self.answers():
                return
        raise RuntimeError("redis-server does not start")

    def answers(self):
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"PING\r\n")
                if client.recv(7) == b"+PONG\r\n":
                    return True
            time.sleep(0.02)
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        shutil.rmtree(self.folder)


class Stage:
    """Two gateways on one store, of which one goes away, with proxies before them; and who does what a conversation asks for."""

    def __init__(self, page=None):
        self.redis = Redis()
        self.opened = contextlib.ExitStack()
        self.opened.callback(self.redis.stop)
        self.files = shipped()
        # A page is served by whoever does what it asks for; its origin is listed when that is known.
        stage, pages = self, page or {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, body = pages.get(urllib.parse.urlparse(self.path).path, (None, b""))
                self.send_response(200 if kind else 404)
                self.send_header("content-type", kind or "text/plain")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                try:
                    stage.does[self.path]()
                    code, body = 200, b"done"
                except Exception as error:
                    code, body = 500, repr(error).encode()
                self.send_response(code)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.opened.callback(lambda: (self.server.shutdown(), self.server.server_close()))
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.files["routes/gateway.yaml"] = (
            f"version: 1\nstore: {{ redis: {{ url: 'redis://127.0.0.1:{self.redis.port}', prefix: typescript }} }}\n"
            f"origins: ['{self.origin}']\ndrain: {{ grace: 0s, over: 2s }}\n"
            "auth: { signing: { key: signing.pem, issuer: protogate, audience: protogate } }\n")
        self.files.pop("routes/gateway.development.yaml", None)
        self.files["routes/signing.pem"] = run("openssl", "genpkey", "-algorithm", "ed25519")
        self.gateways = [Gateway(self.files)]
        self.opened.callback(lambda: [gateway.stop() for gateway in self.gateways])
        self.subject, self.peer = Proxy(self.gateways[0].edge), Proxy(self.gateways[0].edge)
        self.opened.callback(self.subject.close)
        self.opened.callback(self.peer.close)
        self.does = {"/hold": self.subject.flows.clear, "/cut": self.subject.cut, "/mend": self.subject.held.set, "/drain": self.drain}

    def drain(self):
        self.gateways.append(Gateway(self.files))
        for proxy in (self.subject, self.peer):
            proxy.target = self.gateways[-1].edge
        self.gateways[0].process.send_signal(signal.SIGTERM)

    @property
    def world(self):
        return json.dumps({"url": self.subject.url, "peerUrl": self.peer.url, "control": self.origin})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.opened.close()


class Nasty:
    """A service that reads what clients in TypeScript write, by the descriptors that are embedded in their code."""

    def __init__(self):
        pool = descriptor_pool.DescriptorPool()
        for known in (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
            pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        imports = ["google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/empty.proto", "google/protobuf/struct.proto",
                   "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto", "nasty/v1/old.proto", "other/v1/nasty.proto"]
        for name, needs in [("nasty/v1/old", []), ("other/v1/nasty", []), ("nasty/v1/nasty", imports)]:
            text = (GENERATED / "nasty" / "src" / "messages" / f"{name}_pb.ts").read_text()
            embedded = re.search(r'fileDesc\("([^"]*)"', text).group(1)
            file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(embedded + "=" * (-len(embedded) % 4)))
            file.dependency.extend(needs)
            pool.Add(file)
        self.message = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"nasty.v1.{name}"))
        self.told, self.count, self.everything = self.message("Told"), self.message("Count"), self.message("Everything")
        self.last = None
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))

        def handler(make, method, request):
            return make(method, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString())

        handlers = {
            "Default": handler(grpc.unary_unary_rpc_method_handler, self.default, self.everything),
            "Watch": handler(grpc.unary_stream_rpc_method_handler, self.watch, self.count),
            "Gather": handler(grpc.stream_unary_rpc_method_handler, self.gather, self.count),
            "Talk": handler(grpc.stream_stream_rpc_method_handler, self.talk, self.count),
            "Hush": handler(grpc.unary_unary_rpc_method_handler, self.hush, self.count),
            "Nothing": handler(grpc.unary_unary_rpc_method_handler, self.nothing, empty_pb2.Empty),
            "Delete": handler(grpc.unary_unary_rpc_method_handler, self.delete, self.message("delete")),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("nasty.v1.Nasty", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def default(self, request, context):
        said = self.everything()
        said.CopyFrom(request)
        # What is in it is of the client's pool, and this one has it as well; without it the two texts can be compared.
        said.ClearField("any")
        self.last = said
        return self.told(json=json_format.MessageToJson(said), back=request)

    def watch(self, request, context):
        for number in range(request.number):
            if not context.is_active():
                return
            yield self.everything(an_int32=number)

    def gather(self, requests, context):
        return self.told(json=str(sum(request.number for request in requests)))

    def talk(self, requests, context):
        for request in requests:
            if request.text == "fail":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
            yield request

    def hush(self, request, context):
        if request.text == "fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
        return self.told()

    def nothing(self, request, context):
        reply = struct_pb2.Struct()
        reply.update({"nothing": "but"})
        return reply

    def delete(self, request, context):
        return self.message("Uint8Array")(bytes=request.string.encode())

    def stop(self):
        self.server.stop(None).wait()


class Generated(unittest.TestCase):
    def test_what_is_generated_compiles_in_the_strictest_setting(self):
        run(HERE / "node_modules/.bin/tsc", "-p", ".")
        for name in ("shipped", "nasty"):
            run(HERE / "node_modules/.bin/tsc", "-p", GENERATED / name, "--outDir", GENERATED / name / "dist")
            manifest = json.loads((GENERATED / name / "package.json").read_text())
            self.assertEqual(list(manifest["dependencies"]), ["@bufbuild/protobuf"])
            entry = manifest["exports"]["."]
            self.assertTrue((GENERATED / name / entry["default"]).exists() and (GENERATED / name / entry["types"]).exists())
        # The package is used by its name, from where it would be installed.
        where = "./generated/nasty/dist"
        script = (f"import * as all from '{where}/index.js'; import {{ CountSchema }} from '{where}/messages/nasty/v1/nasty_pb.js';"
                  "console.log(Object.keys(all.pushes).join(), CountSchema.typeName)")
        self.assertEqual(run("node", "--input-type=module", "-e", script).strip(), "default$,nastyEvent nasty.v1.Count")

    def test_a_bundler_leaves_out_what_nobody_calls(self):
        manifest = json.loads((GENERATED / "shipped" / "package.json").read_text())
        self.assertEqual(manifest["exports"]["./routes"]["default"], "./dist/routes.js")
        source = GENERATED / "lean.ts"
        source.write_text('import { Gateway } from "./shipped/src/index.js"; import * as routes from "./shipped/src/routes.js";'
                          'new Gateway({ url: "ws://x/ws" }).call(routes.echo, { text: "x" });')
        text = bundle(source, "browser").read_text()
        self.assertIn('"echo"', text)
        self.assertNotIn("auth.register", text)

    def test_the_document_compiles_with_the_types_of_browsers(self):
        text = (TOP / "docs" / "clients.md").read_text()
        block = re.search(r"```ts\n(import .*?)```", text, re.S).group(1)
        before = "declare const password: string;\ndeclare function show(event: unknown): void;\ndeclare function readEverythingAgain(): void;\n"
        after = "\nnew Client({ url: 'wss://x/ws', webSocket: WebSocket }).echo({}, { signal: new AbortController().signal }).catch((error) => error instanceof ProtogateError);\nexport { room };\n"
        (GENERATED / "document.ts").write_text(before + block.replace('"game-client"', '"./shipped/src/index.js"') + after)
        options = {"lib": ["ES2022", "DOM"], "types": [], "rootDir": "."}
        (GENERATED / "tsconfig.json").write_text(json.dumps({"extends": "../tsconfig.json", "compilerOptions": options, "include": ["document.ts"]}))
        run(HERE / "node_modules/.bin/tsc", "-p", GENERATED)

    def test_what_clients_cannot_reach_is_in_no_file(self):
        texts = {path: path.read_text() for path in (GENERATED / "nasty").rglob("*.ts") if "dist" not in path.parts}
        self.assertGreater(len(texts), 20)
        for path, text in texts.items():
            embedded = [base64.b64decode(found + "=" * (-len(found) % 4)) for found in re.findall(r'fileDesc\("([^"]*)"', text)]
            for part in [text.encode(), *embedded]:
                for secret in (b"secret_of", b"secretOf", b"secret_extension", b"Unreached"):
                    self.assertNotIn(secret, part, path)

    def test_the_same_table_makes_the_same_files(self):
        before = {path: path.stat().st_mtime_ns for path in GENERATED.joinpath("nasty").rglob("*.ts")}
        generate("nasty", "--config", HERE / "fixture" / "routes")
        self.assertEqual(before, {path: path.stat().st_mtime_ns for path in GENERATED.joinpath("nasty").rglob("*.ts")})

    def test_the_client_by_itself(self):
        out = run("node", "--test", bundle("unit.test.ts", "node"))
        self.assertRegex(out, r"fail 0")
        self.assertRegex(out, r"pass [3-9]\d")

    def test_values_and_streams_are_the_same_in_python(self):
        service = Nasty()
        self.addCleanup(service.stop)
        gateway = Gateway({str(path.relative_to(HERE / "fixture")): path.read_text() for path in (HERE / "fixture").rglob("*") if path.is_file()},
                          {"NASTY": f"127.0.0.1:{service.port}"})
        self.addCleanup(gateway.stop)
        # Not `splitlines`, which takes more than a newline for one.
        lines = run("node", bundle("nasty.ts", "node"), gateway.url).strip().split("\n")
        self.assertEqual(lines[-1], "done")
        # JSON of the one runtime is read by the other, as what the other got in bytes.
        text = next(line.removeprefix("json ") for line in lines if line.startswith("json "))
        self.assertEqual(json_format.Parse(text, service.everything()), service.last)


class Verdicts(unittest.TestCase):
    def test_the_client_does_what_the_protocol_says_of_every_code(self):
        table = re.findall(r"^\| (\d{4}) \| `\w+` \|.*\| (yes|no)[^|]*\|$", (TOP / "docs" / "protocol.md").read_text(), re.M)
        self.assertEqual(len(table), 20)
        source = GENERATED / "verdicts.ts"
        codes = ", ".join(code for code, _ in table)
        source.write_text(f'import {{ verdict }} from "./shipped/src/runtime/verdict.js"; console.log([{codes}].map(verdict).join());')
        found = run("node", bundle(source, "node")).strip().split(",")
        self.assertEqual([verdict != "never" for verdict in found], [again == "yes" for _, again in table])
        self.assertEqual([code for (code, _), verdict in zip(table, found) if verdict == "fresh token"], ["4002"])


class Conversation(unittest.TestCase):
    def test_in_node(self):
        with Stage() as stage:
            out = run("node", bundle("node.ts", "node"), stage.world)
            self.assertEqual(json.loads(out.splitlines()[-1]), STEPS)

    def test_in_chromium(self):
        script = bundle("browser.ts", "browser").read_bytes()
        page = b'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script type="module" src="/client.js"></script>'
        with Stage({"/": ("text/html", page), "/client.js": ("text/javascript", script)}) as stage:
            browser = Browser()
            try:
                browser.open(f"{stage.origin}/#{urllib.parse.quote(stage.world)}")
                deadline = time.monotonic() + 120
                while not (said := browser.text()).strip() and time.monotonic() < deadline:
                    time.sleep(0.2)
                self.assertEqual(said and said[0], "[", said)
                self.assertEqual(json.loads(said), STEPS)
            finally:
                browser.close()


if __name__ == "__main__":
    unittest.main()
