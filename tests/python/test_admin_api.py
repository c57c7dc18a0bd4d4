"""The operator's door is what its OpenAPI document says: asked by a client that knows nothing else."""

import http.client
import json
import random
import unittest

import jsonschema
import websockets
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway import Gateway, shipped

# What to say where a path or a query of a GET needs something that is there.
THERE = {"number": "1001", "user": "alice", "search": "login", "limit": "3"}

# A change of each kind that is well asked for.
CHANGES = {
    "/api/v1/revoke": {"user": "nobody"},
    "/api/v1/push": {"user": "alice", "protocol": 4001, "payload": {}},
    "/api/v1/notify": {"users": ["alice"], "title": "Hello"},
    "/api/v1/templates": {"name": "welcome", "words": {"en": {"title": "Hello"}}, "default_locale": "en"},
    "/api/v1/reload": {},
    "/api/v1/check": {},
    "/api/v1/log": {"level": "debug"},
}

NONSENSE = [None, 0, -1, 1e300, True, "", "x" * 300, "\u0000", "\u202e", [], [[]], {}, {"a": {}}]


class Door:
    def __init__(self, gateway):
        self.address, self.token = gateway.admin, (gateway.folder / "data/admin.token").read_text()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        said = answer.status, answer.headers.get_content_type(), answer.read()
        connection.close()
        return said


class AdminApi(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        files = shipped() | {"routes/gateway.yaml": "version: 1\nreload: { watch: false }\ntelemetry: { log: { format: json } }\n"}
        cls.gateway = Gateway(files)
        cls.addClassCleanup(cls.gateway.stop)
        cls.door = Door(cls.gateway)
        status, _, document = cls.door.ask("GET", "/api/v1/openapi.json")
        assert status == 200
        cls.document = json.loads(document)
        cls.registry = Registry().with_resource("urn:door", Resource(contents=cls.document, specification=DRAFT202012))

    async def asyncSetUp(self):
        # Somebody is there, and has been refused.
        self.socket = await websockets.connect(self.gateway.url, subprotocols=["protogate.v1.json"], additional_headers={
            "Authorization": f"Bearer {self.gateway.token('alice', ['player'])}"})
        self.addAsyncCleanup(self.socket.close)
        for number in range(40):
            await self.socket.send(json.dumps({"protocol": 1001, "id": number + 1, "payload": {"username": "alice", "password": "wrong"}}))

    def operations(self):
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                # The page and its files are for browsers, and have tests of their own.
                if path != "/" and not path.startswith("/dashboard/"):
                    yield path, method.upper(), operation

    def fits(self, operation, status, kind, body, where):
        """Whether an answer is what the document says; an object may have no key that is not there."""
        answer = operation["responses"].get(str(status), operation["responses"]["default"])
        self.assertIn(kind, answer["content"], where)
        if kind != "application/json":
            return
        paths = [part.replace("~", "~0").replace("/", "~1") for part in (where[1], where[0].lower())]
        key = str(status) if str(status) in operation["responses"] else "default"
        pointer = f"urn:door#/paths/{paths[0]}/{paths[1]}/responses/{key}/content/application~1json/schema"
        validator = jsonschema.Draft202012Validator({"$ref": pointer}, registry=self.registry)
        error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(body)))
        self.assertIsNone(error, f"{where}: {error and error.message} in {body[:2000]}")

    def url(self, path, operation):
        for name in (one["name"] for one in operation["parameters"] if one["in"] == "path"):
            path = path.replace("{" + name + "}", THERE.get(name, "1"))
        query = [f"{one['name']}={THERE[one['name']]}" for one in operation["parameters"] if one["in"] == "query" and one["name"] in THERE]
        return path + ("?" + "&".join(query) if query else "")

    async def test_the_document_is_sound(self):
        OpenAPIV31SpecValidator(self.document).validate()

    async def test_every_answer_is_what_the_document_says(self):
        for path, method, operation in self.operations():
            with self.subTest(method=method, path=path):
                body = CHANGES[path] if method == "POST" else None
                status, kind, answer = self.door.ask(method, self.url(path, operation), body)
                self.assertEqual(status, 200, answer)
                self.fits(operation, status, kind, answer, (method, path))
        limits = json.loads(self.door.ask("GET", "/api/v1/limits")[2])["limits"]
        self.assertTrue(any(limit["limited"] for limit in limits), "the state has something to show")

    async def test_whatever_is_asked_is_answered_and_breaks_nothing(self):
        chance = random.Random(7)
        for path, method, operation in self.operations():
            for _ in range(25):
                url = path
                for one in operation["parameters"]:
                    value = "".join(chance.choice("%az09&=+.~';") for _ in range(chance.randrange(8)))
                    if one["in"] == "path":
                        url = url.replace("{" + one["name"] + "}", value.replace("?", "") or "x")
                    else:
                        url += ("&" if "?" in url else "?") + f"{one['name']}={value}"
                body = None
                if method == "POST":
                    keys = [*CHANGES[path], "nonsense"]
                    body = chance.choice([{key: chance.choice(NONSENSE) for key in keys if chance.random() < 0.8}, chance.choice(NONSENSE)])
                status, kind, answer = self.door.ask(method, url, body)
                self.assertLess(status, 500, (method, url, body, answer))
                self.assertEqual(kind, "application/json")
                self.assertIsInstance(json.loads(answer), dict)

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
