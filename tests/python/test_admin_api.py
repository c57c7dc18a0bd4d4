"""The operator's door is what its OpenAPI document says: asked by a client that knows nothing else."""

import asyncio
import http.client
import json
import random
import unittest

import jsonschema
import websockets
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway import WORDS_PROTO, Gateway, Words, shipped

# Beside what the repository ships: a service that lets one wait.
WORDS = """
backends: {{ words: {{ grpc: {{ endpoints: ["http://127.0.0.1:{port}"] }} }} }}
routes:
  5001: {{ name: words.sleep, rpc: words.v1.Words/Sleep, backend: words, access: anonymous, timeout: 30s }}
"""

# What to say where a path or a query of a GET needs something that is there. The ids of what comes and goes are known only when it is there.
THERE = {"number": "1001", "user": "alice", "limit": "3", "seconds": "1", "folder": "views", "file": "app.js"}
THERE_AT = {
    "/api/v1/routes": {"search": "login"},
    "/api/v1/connections": {"search": "alice"},
    "/api/v1/topics": {"search": "chat/"},
    "/dashboard/{folder}/{file}": {"file": "routes.js"},
}

# A change of each kind that is well asked for.
CHANGES = {
    "/api/v1/revoke": {"user": "nobody"},
    "/api/v1/push": {"user": "alice", "protocol": 4001, "payload": {}},
    "/api/v1/notify": {"users": ["alice"], "title": "Hello"},
    "/api/v1/templates": {"name": "welcome", "words": {"en": {"title": "Hello"}}, "default_locale": "en"},
    "/api/v1/reload": {},
    "/api/v1/check": {},
    "/api/v1/log": {"level": "debug"},
    "/api/v1/connections/{id}/close": {},
    "/api/v1/kick": {"user": "carol"},
}

# It ends the gateway, and so is asked of one that nobody else needs.
LAST = ("POST", "/api/v1/drain")

LINES = "application/x-ndjson"

NONSENSE = [None, 0, -1, 1e300, True, "", "x" * 300, "\u0000", "\u202e", [], [[]], {}, {"a": {}}]
NONSENSE_IN_URLS = ["0", "1", "-1", "4294967296", "18446744073709551616", "1e9", "%00", "%f0%9f%98%80", "%2e%2e", "x" * 2000]


class Door:
    def __init__(self, gateway):
        self.address, self.token = gateway.admin, (gateway.folder / "data/admin.token").read_text()

    def ask(self, method, path, body=None, reads_lines=True):
        """Status, kind and body; what comes in lines may be left unread, for it may take an hour."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        kind = answer.headers.get_content_type()
        said = answer.status, kind, answer.read() if reads_lines or kind != LINES else b""
        connection.close()
        return said

    def get(self, path):
        status, _, answer = self.ask("GET", path)
        assert status == 200, answer
        return json.loads(answer)


class Client:
    """Somebody with a session."""

    @classmethod
    async def login(cls, test, user, gateway=None):
        gateway = gateway or test.gateway
        client = cls()
        client.socket = await websockets.connect(gateway.url, subprotocols=["protogate.v1.json"], additional_headers={
            "Authorization": f"Bearer {await asyncio.to_thread(gateway.token, user, ['player'])}"})
        test.addAsyncCleanup(client.socket.close)
        while "sessionId" not in (said := await client.hear()).get("payload", {}):
            pass
        client.session = said["payload"]["sessionId"]
        return client

    async def hear(self):
        return json.loads(await asyncio.wait_for(self.socket.recv(), 60))

    async def send(self, number, protocol, **payload):
        await self.socket.send(json.dumps({"protocol": protocol, "id": number, "payload": payload}))

    async def call(self, number, protocol, **payload):
        await self.send(number, protocol, **payload)
        while (said := await self.hear()).get("id") != number:
            pass
        return said


class AdminApi(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        words = Words()
        cls.addClassCleanup(words.stop)
        files = shipped()
        files |= {
            "routes/gateway.yaml": "version: 1\nreload: { watch: false }\ntelemetry: { log: { format: json } }\n",
            "routes/routes.yaml": files["routes/routes.yaml"].replace("include: [", "include: [words.yaml, "),
            "routes/words.yaml": WORDS.format(port=words.port),
            "proto/words/v1/words.proto": WORDS_PROTO,
        }
        cls.files, cls.gateway = files, Gateway(files)
        cls.addClassCleanup(cls.gateway.stop)
        cls.door = Door(cls.gateway)
        status, _, document = cls.door.ask("GET", "/api/v1/openapi.json")
        assert status == 200
        cls.document = json.loads(document)
        cls.registry = Registry().with_resource("urn:door", Resource(contents=cls.document, specification=DRAFT202012))

    async def asyncSetUp(self):
        # Somebody is there, hears a topic, has been refused, and waits for an answer. Two more are there to be sent away.
        self.alice, bob, _ = [await Client.login(self, user) for user in ("alice", "bob", "carol")]
        room = await self.alice.call(1, 3003, name="Tea")
        self.assertIn("room", room["payload"], room)
        for number in range(40):
            await self.alice.call(number + 2, 1001, username="alice", password="wrong")
        await self.alice.send(99, 5001, sleepMs=20_000)
        connections = self.door.get("/api/v1/connections")["connections"]
        ids = {connection["session"]: str(connection["id"]) for connection in connections}
        self.there_at = THERE_AT | {
            "/api/v1/connections/{id}": {"id": ids[self.alice.session]},
            "/api/v1/connections/{id}/close": {"id": ids[bob.session]},
            "/api/v1/sessions/{id}": {"id": self.alice.session},
        }

    def operations(self):
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                if (method.upper(), path) != LAST:
                    yield path, method.upper(), operation

    def fits(self, operation, status, kind, body, where):
        """Whether an answer is what the document says; an object may have no key that is not there."""
        answer = operation["responses"].get(str(status), operation["responses"]["default"])
        self.assertIn(kind, answer["content"], (where, status, body[:2000]))
        if kind not in ("application/json", LINES):
            # A text, which is whatever it is.
            return
        path, method, kind_in_it = [part.replace("~", "~0").replace("/", "~1") for part in (where[1], where[0].lower(), kind)]
        key = str(status) if str(status) in operation["responses"] else "default"
        pointer = f"urn:door#/paths/{path}/{method}/responses/{key}/content/{kind_in_it}/schema"
        validator = jsonschema.Draft202012Validator({"$ref": pointer}, registry=self.registry)
        for one in body.splitlines() if kind == LINES else [body]:
            error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(one)))
            self.assertIsNone(error, f"{where}: {error and error.message} in {one[:2000]}")

    def url(self, path, operation):
        there, url = THERE | self.there_at.get(path, {}), path
        for name in (one["name"] for one in operation["parameters"] if one["in"] == "path"):
            url = url.replace("{" + name + "}", there[name])
        query = [f"{one['name']}={there[one['name']]}" for one in operation["parameters"] if one["in"] == "query" and one["name"] in there]
        return url + ("?" + "&".join(query) if query else "")

    async def test_the_document_is_sound(self):
        OpenAPIV31SpecValidator(self.document).validate()

    async def test_every_answer_is_what_the_document_says(self):
        shown = {path: self.door.get(path) for path in (
            "/api/v1/limits", "/api/v1/errors", "/api/v1/topics", "/api/v1/connections", "/api/v1/sessions?user=alice")}
        self.assertTrue(any(limit["limited"] for limit in shown["/api/v1/limits"]["limits"]), "the state has something to show")
        self.assertTrue(any(error["examples"] for error in shown["/api/v1/errors"]["errors"]))
        self.assertTrue(all(next(iter(answer.values())) for answer in shown.values()), shown)
        detail = self.door.get(self.url("/api/v1/connections/{id}", self.document["paths"]["/api/v1/connections/{id}"]["get"]))
        self.assertTrue(detail["calls"] and detail["heard"], detail)
        for path, method, operation in self.operations():
            with self.subTest(method=method, path=path):
                body = CHANGES[path] if method == "POST" else None
                status, kind, answer = self.door.ask(method, self.url(path, operation), body)
                self.assertEqual(status, 200, answer)
                self.fits(operation, status, kind, answer, (method, path))
        connections = self.door.get("/api/v1/connections")["connections"]
        self.assertNotIn("carol", [connection["user"] for connection in connections], "who was kicked is gone")

    async def test_what_is_wrong_with_the_files_is_told_as_the_document_says(self):
        routes = self.gateway.folder / "routes/routes.yaml"
        self.addCleanup(routes.write_text, sound := routes.read_text())
        routes.write_text(sound + "nonsense: 1\n")
        for method, path, status in [("POST", "check", 200), ("POST", "reload", 422), ("GET", "diff", 422), ("GET", "reloads", 200)]:
            path, body = f"/api/v1/{path}", {} if method == "POST" else None
            answered, kind, answer = self.door.ask(method, path, body)
            self.assertEqual(answered, status, answer)
            self.assertIn(b'"label"', answer)
            self.fits(self.document["paths"][path][method.lower()], status, kind, answer, (method, path))

    async def test_every_page_but_the_last_says_where_to_go_on(self):
        for path, operation in ((path, operation) for path, method, operation in self.operations() if method == "GET"):
            if "after" not in [one["name"] for one in operation["parameters"]]:
                continue
            with self.subTest(path=path):
                whole = self.door.get(f"{path}?limit=1000")
                self.assertNotIn("next", whole)
                [items] = [value for value in whole.values() if isinstance(value, list)]
                page = self.door.get(f"{path}?limit=1")
                self.assertEqual("next" in page, len(items) > 1)
                if len(items) > 1:
                    self.fits(operation, 200, "application/json", json.dumps(page).encode(), ("GET", path))
                    self.assertNotIn("next", self.door.get(f"{path}?limit=1000&after={page['next']}"))
                self.assertNotIn("next", self.door.get(f"{path}?limit={max(len(items), 1)}"))

    async def test_every_line_is_what_the_document_says(self):
        operation = self.document["paths"]["/api/v1/tap"]["get"]
        tap = asyncio.create_task(asyncio.to_thread(self.door.ask, "GET", "/api/v1/tap?seconds=3"))
        number = 100
        while not tap.done():
            for protocol, payload in [(1001, {"username": "alice", "password": "wrong"}), (2001, {}), (3002, {"roomId": "none"}), (7777, {})]:
                number += 1
                await self.alice.call(number, protocol, **payload)
            await asyncio.sleep(0.1)
        status, kind, lines = tap.result()
        self.assertEqual((status, kind), (200, LINES))
        self.assertTrue({1001, 2001, 3002, 7777} <= {json.loads(line)["protocol"] for line in lines.splitlines()}, lines)
        self.fits(operation, status, kind, lines, ("GET", "/api/v1/tap"))

    async def test_a_page_for_browsers_is_of_the_kinds_that_the_document_says(self):
        for path, kind in [("/", "text/html"), ("/dashboard/style.css", "text/css"), ("/dashboard/icon.svg", "image/svg+xml")]:
            operation = self.document["paths"]["/" if path == "/" else "/dashboard/{file}"]["get"]
            self.assertEqual(self.door.ask("GET", path)[:2], (200, kind))
            self.assertIn(kind, operation["responses"]["200"]["content"])

    async def test_a_drain_is_told_as_the_document_says_and_ends_the_gateway(self):
        gateway = Gateway(self.files)
        self.addCleanup(gateway.stop)
        client, door = await Client.login(self, "alice", gateway), Door(gateway)
        status, kind, answer = door.ask(*LAST, {})
        self.fits(self.document["paths"][LAST[1]]["post"], status, kind, answer, LAST)
        self.assertEqual((status, json.loads(answer)), (200, {"draining": True, "connections": 1}))
        with self.assertRaises(websockets.ConnectionClosed):
            while True:
                await client.hear()
        self.assertEqual(await asyncio.to_thread(gateway.process.wait, 60), 0)

    async def test_whatever_is_asked_is_answered_and_breaks_nothing(self):
        chance = random.Random(7)
        for path, method, operation in self.operations():
            for _ in range(25):
                url = path
                for one in operation["parameters"]:
                    soup = "".join(chance.choice("%az09&=+.~';") for _ in range(chance.randrange(8)))
                    value = chance.choice([soup, chance.choice(NONSENSE_IN_URLS)])
                    if one["in"] == "path":
                        url = url.replace("{" + one["name"] + "}", value.replace("?", "") or "x")
                    else:
                        url += ("&" if "?" in url else "?") + f"{one['name']}={value}"
                body = None
                if method == "POST":
                    # Now and then a key is well said, so that more than the first of them is read.
                    sound = CHANGES[path] | {"nonsense": 1}
                    said = {key: chance.choice([value, chance.choice(NONSENSE)]) for key, value in sound.items() if chance.random() < 0.8}
                    body = chance.choice([said, said, chance.choice(NONSENSE)])
                status, kind, answer = self.door.ask(method, url, body, reads_lines=False)
                self.assertLess(status, 500, (method, url, body, answer))
                self.fits(operation, status, kind, answer, (method, path, url, body))

    async def test_every_change_leaves_a_line_with_who_asked(self):
        self.door.ask("POST", "/api/v1/revoke", {"user": "somebody"})
        self.door.ask("POST", "/api/v1/revoke", {"usr": "somebody"})
        self.door.ask("POST", "/api/v1/log", {"level": "info"})
        self.gateway.log.flush()
        lines = [json.loads(line) for line in (self.gateway.folder / "log").read_text().splitlines()]
        lines = [line for line in lines if line.get("target") == "protogate::audit"]
        told = [(line["action"], line.get("what"), line["outcome"], line.get("status")) for line in lines]
        self.assertIn(("/api/v1/revoke", "user somebody", "done", 200), told)
        self.assertIn(("/api/v1/revoke", None, "refused", 400), told)
        self.assertIn(("/api/v1/log", "level info", "done", 200), told)
        self.assertTrue(all(line["peer"].startswith("127.0.0.1:") and line["level"] == "INFO" for line in lines))
        self.assertFalse(any(line["action"] == "/api/v1/check" for line in lines), "it changes nothing")


if __name__ == "__main__":
    unittest.main()
