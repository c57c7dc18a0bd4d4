"""What Prometheus' own parser makes of `/metrics`."""

import asyncio
import math
import unittest
import urllib.error
import urllib.request

import websockets
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from gateway import Gateway, shipped


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(shipped())

    @classmethod
    def tearDownClass(cls):
        cls.gateway.stop()

    def scrape(self, accept=None, token=None):
        token = token or (self.gateway.folder / "data" / "admin.token").read_text().strip()
        request = urllib.request.Request(f"http://{self.gateway.admin}/metrics", headers={"Authorization": f"Bearer {token}"})
        if accept:
            request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    async def call(self):
        async with websockets.connect(self.gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            await socket.recv()
            for protocol in (9001, 5):
                await socket.send(f'{{"protocol":{protocol},"id":7,"payload":{{"text":"hi"}}}}')
                while '"id":7' not in await socket.recv():
                    pass

    def test_openmetrics_reads_what_is_written(self):
        asyncio.run(self.call())
        kind, text = self.scrape("application/openmetrics-text;version=1.0.0")
        self.assertTrue(kind.startswith("application/openmetrics-text; version=1.0.0"), kind)
        families = {family.name: family for family in openmetrics(text)}
        self.assertEqual((families["protogate_requests"].type, families["protogate_request_seconds"].unit), ("counter", "seconds"))
        requests = {tuple(sorted(sample.labels.items())): sample.value for sample in families["protogate_requests"].samples}
        self.assertEqual(requests[(("code", "OK"), ("reason", "OK"), ("route", "echo"))], 1)
        buckets = [sample for sample in families["protogate_request_seconds"].samples if sample.name.endswith("_bucket")]
        self.assertEqual(max(float(sample.labels["le"]) for sample in buckets), math.inf)
        self.assertGreater(len(families), 50)

    def test_what_is_older_is_read_as_well(self):
        kind, text = self.scrape("text/plain")
        self.assertTrue(kind.startswith("text/plain; version=0.0.4"), kind)
        families = {family.name: family.type for family in prometheus(text)}
        self.assertEqual((families["protogate_connections"], families["protogate_request_seconds"]), ("gauge", "histogram"))

    def test_nobody_reads_without_the_token(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.scrape(token="another")
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()


if __name__ == "__main__":
    unittest.main()
