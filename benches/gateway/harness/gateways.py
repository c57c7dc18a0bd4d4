"""The gateways that are compared: how each is started in front of a backend, and who its client is."""

import base64
import functools
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from pathlib import Path

from .programs import BENCH, GATEWAY_CORE, TOP, Program

REFERENCE = "reference"
OFF = "policies off"
EVERY = "every policy"
ACCOUNTS = "with accounts"
FANOUT = "fan-out"
FANOUT_REFERENCE = "fan-out reference"

ISSUER = "https://bench.example"
AUDIENCE = "bench"
USERS = 20_000
SECRET = "a secret of the bench, which guards nothing at all"
SECRET_VARIABLE = "PROTOGATE_BENCH_SECRET"

# Limits are charged on every call and refuse none: more than any machine can ask for in the time.
RATE = "1000000/s"
BURST = 10_000_000

GATEWAY_YAML = """\
version: 1
vars: {{ bench_secret: {{ env: {variable}, secret: true }} }}
listen: {{ workers: 1 }}
connections: {{ max: 20000, per_ip_max: 20000, inflight_max: 64, auth_timeout: 10m }}
auth:
  issuers:
    - {{ issuer: "{issuer}", audience: [{audience}], algorithm: HS256, secret: "${{var.bench_secret}}", roles: claims.roles }}
telemetry: {{ log: {{ level: info }} }}
reload: {{ watch: false }}
"""

ROUTES_YAML = """\
version: 1
descriptors: [{{ proto: "{proto}" }}]
backends: {{ echo: {{ grpc: {{ endpoints: ["http://{backend}"] }} }} }}
{policies}
routes:
  9001: {{ name: echo, rpc: protogate.echo.v1.EchoService/Echo, backend: echo, {route} }}
"""

POLICIES = f"""\
permissions: {{ roles: {{ player: {{ grant: ["echo.**"] }} }} }}
rate_limits:
  per_caller: {{ key: [caller], rate: {RATE}, burst: {BURST} }}
  per_route: {{ key: [route], rate: {RATE}, burst: {BURST} }}"""

# Logins come from many addresses, which a proxy names, and nothing but the service's own bounds stands before them.
ACCOUNTS_YAML = "trusted_proxies: [127.0.0.0/8]\n"
LOGIN_ROUTE = "  1001: { name: auth.login, rpc: protogate.auth.v1.AuthService/Login, backend: auth, access: anonymous, timeout: 10s }\n"

# Everybody joins one topic by a call, and one of them speaks by a call; the echo lives inside, so that there is no backend.
FANOUT_YAML = """\
version: 1
descriptors: [{{ proto: "{proto}" }}]
backends: {{ echo: {{ builtin: echo }} }}
defaults: {{ backend: echo }}
topics: {{ "room/{{id}}": {{ join: effect, history: {{ count: 256 }}, pushes: [9101] }} }}
pushes: {{ 9101: {{ name: said, message: protogate.echo.v1.EchoResponse }} }}
routes:
  9002: {{ name: join, rpc: protogate.echo.v1.EchoService/Echo, on_success: {{ subscribe: "room/${{response.text}}" }} }}
  9003:
    name: say
    rpc: protogate.echo.v1.EchoService/Echo
    on_success: {{ publish: {{ topic: room/all, number: 9101, message: response }} }}
"""

EVERY_POLICY = "access: authenticated, permissions: [echo.call], rate_limits: [per_caller, per_route]"
NO_POLICY = "access: anonymous"


@dataclass(frozen=True)
class Gateway:
    """One way to stand between the load and the backend."""

    name: str
    binaries: Path

    @property
    def client(self):
        """What the load generator must say to be let in: a user for each connection, because a user may have a few sessions only."""
        return ["--tokens", tokens()] if self.name in (EVERY, FANOUT) else []

    def start(self, backend: str | None, folder: Path, under=()):
        """Starts it in an empty folder; `under` is a program that runs it, such as valgrind. In a fan-out there is no backend."""
        folder.mkdir(parents=True)
        if self.name == REFERENCE:
            command = [self.binaries / "reference", "--listen", "127.0.0.1:0", "--backend", backend]
            return Program([*under, *command], GATEWAY_CORE).wait_until_ready()
        if self.name == FANOUT_REFERENCE:
            return Program([*under, self.binaries / "fanout", "--listen", "127.0.0.1:0"], GATEWAY_CORE).wait_until_ready()
        configuration, ready = folder / "routes", folder / "ready.json"
        configuration.mkdir()
        every, accounts = self.name == EVERY, self.name == ACCOUNTS
        process = GATEWAY_YAML.format(variable=SECRET_VARIABLE, issuer=ISSUER, audience=AUDIENCE)
        (configuration / "gateway.yaml").write_text(process + (ACCOUNTS_YAML if accounts else ""))
        routes = FANOUT_YAML if self.name == FANOUT else ROUTES_YAML
        routes = routes.format(
            proto=TOP / "proto", backend=backend, policies=POLICIES if every else "", route=EVERY_POLICY if every else NO_POLICY)
        if accounts:
            routes = routes.replace("backends: { ", "backends: { auth: { builtin: auth }, ") + LOGIN_ROUTE
        (configuration / "routes.yaml").write_text(routes)
        command = [self.binaries / "protogate", "serve", "--config", configuration, "--data", folder / "data",
                   "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready]
        env = {SECRET_VARIABLE: SECRET, "GATEWAY_MODE": "development"}
        return Program([*under, *command], GATEWAY_CORE, env=env, ready_file=ready).wait_until_ready()


@functools.cache
def tokens():
    """A file with a JWT for each of as many users as there are ever connections; they outlive the measurement."""
    path = BENCH / "target" / "tokens.txt"
    path.write_text("".join(f"{token(f'user{number}')}\n" for number in range(USERS)))
    return path


def token(user):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "roles": ["player"], "iat": now, "exp": now + 6 * 3600}
    signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{_base64(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
