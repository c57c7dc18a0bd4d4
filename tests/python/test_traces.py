"""A service with the OpenTelemetry SDK exports to the same collector as the gateway, and its span is below the gateway's attempt."""

import asyncio
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest
from concurrent import futures

import grpc
import websockets
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import WORDS_PROTO, Gateway, Words

ROUTES = """
version: 1
descriptors: [{{ proto: ../proto }}]
backends: {{ words: {{ grpc: {{ endpoints: ["http://127.0.0.1:{words}"] }} }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 1000/s }} }}
defaults: {{ backend: words, access: anonymous, rate_limits: [plenty] }}
routes:
  5001: {{ name: words.say, rpc: words.v1.Words/Say, trace: {{ sample: 100% }} }}
  5002: {{ name: words.unsampled, rpc: words.v1.Words/Say, trace: {{ sample: 0% }} }}
"""

PROCESS = """
version: 1
telemetry: {{ otlp: {{ endpoint: "http://127.0.0.1:{collector}" }} }}
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, credentials=None):
        self.spans, self.came = [], threading.Condition()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_secure_port("localhost:0", credentials) if credentials else self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        with self.came:
            for resource in request.resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.came.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def wait_for(self, name):
        with self.came:
            assert self.came.wait_for(lambda: self.named(name), timeout=60), f"no `{name}` among {[span.name for span in self.spans]}"
        [span] = self.named(name)
        return span


class TracedWords(Words):
    """Records a span for each call whose caller says that it is sampled."""

    def __init__(self, collector):
        super().__init__()
        self.provider = TracerProvider(sampler=ParentBased(root=ALWAYS_OFF))
        exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{collector.port}", insecure=True)
        self.provider.add_span_processor(SimpleSpanProcessor(exporter))

    def say(self, request, context):
        parent = TraceContextTextMapPropagator().extract(dict(context.invocation_metadata()))
        with self.provider.get_tracer("words").start_as_current_span("saying", context=parent, kind=SpanKind.SERVER):
            return super().say(request, context)

    def stop(self):
        super().stop()
        self.provider.shutdown()


def certified(folder):
    """Credentials of `localhost`, and the file of the authority that signed them."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    (folder / "extensions").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem",
            "-extfile", "extensions")
    pair = ((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())
    return grpc.ssl_server_credentials([pair]), folder / "ca.pem"


class Traces(unittest.IsolatedAsyncioTestCase):
    async def test_the_services_span_is_a_child_of_the_gateways_attempt(self):
        collector = Collector()
        self.addCleanup(lambda: collector.server.stop(None).wait())
        words = TracedWords(collector)
        self.addCleanup(words.stop)
        gateway = Gateway({
            "routes/gateway.yaml": PROCESS.format(collector=collector.port),
            "routes/routes.yaml": ROUTES.format(words=words.port),
            "proto/words.proto": WORDS_PROTO,
        })
        self.addCleanup(gateway.stop)

        async with websockets.connect(gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            await socket.recv()
            for protocol in (5002, 5001):
                await socket.send(json.dumps({"protocol": protocol, "id": 1, "payload": {"text": "hello"}}))
                self.assertEqual(json.loads(await socket.recv())["payload"]["text"], "nobody says hello")

        whole, saying = collector.wait_for("words.say"), collector.wait_for("saying")
        attempt = collector.wait_for("words.v1.Words/Say")
        self.assertEqual((saying.trace_id, saying.parent_span_id), (attempt.trace_id, attempt.span_id))
        self.assertEqual((attempt.trace_id, attempt.parent_span_id), (whole.trace_id, whole.span_id))
        self.assertLessEqual(attempt.start_time_unix_nano, saying.start_time_unix_nano)
        self.assertLessEqual(saying.end_time_unix_nano, attempt.end_time_unix_nano)
        # What was not sampled was told so, and nobody recorded it.
        self.assertEqual(collector.named("words.unsampled"), [])

    async def test_a_collector_over_tls_is_told_if_its_authority_is_trusted_and_the_log_says_why_not(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="protogate-tls-"))
        self.addCleanup(shutil.rmtree, folder)
        credentials, authority = certified(folder)
        for trusted in (True, False):
            collector, words = Collector(credentials), Words()
            self.addCleanup(lambda collector=collector: collector.server.stop(None).wait())
            self.addCleanup(words.stop)
            gateway = Gateway({
                "routes/gateway.yaml": PROCESS.format(collector=collector.port).replace("http://127.0.0.1", "https://localhost"),
                "routes/routes.yaml": ROUTES.format(words=words.port),
                "proto/words.proto": WORDS_PROTO,
            }, {"SSL_CERT_FILE": str(authority)} if trusted else {})
            self.addCleanup(gateway.stop)
            async with websockets.connect(gateway.url, subprotocols=["protogate.v1.json"]) as socket:
                await socket.recv()
                await socket.send(json.dumps({"protocol": 5001, "id": 1, "payload": {"text": "hello"}}))
                self.assertEqual(json.loads(await socket.recv())["payload"]["text"], "nobody says hello")
            if trusted:
                collector.wait_for("words.say")
                continue
            log = gateway.folder / "log"
            for _ in range(300):
                if "spans of calls are dropped" in (said := log.read_text()):
                    break
                await asyncio.sleep(0.1)
            self.assertIn("it cannot be reached", said)
            self.assertIn("UnknownIssuer", said)
            self.assertEqual(collector.spans, [])


if __name__ == "__main__":
    unittest.main()
