"""Building, starting and stopping what is measured. Whatever is started here is stopped here, whichever way the script ends."""

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
TOP = BENCH.parents[1]

# The gateway has a processor of its own; backend, load and this script share the other.
GATEWAY_CORE = 0
OTHER_CORE = 1

START_SECONDS = 90.0  # valgrind reads a large binary slowly
STOP_SECONDS = 40.0  # longer than the gateway's drain


def build(package: Path, profile: str, *selection: str) -> Path:
    """Builds a package and answers with the folder of its binaries."""
    command = ["cargo", "build", "--locked", "--profile", profile, "--manifest-path", str(package / "Cargo.toml"), *selection]
    # Its own target folder, whatever the environment says: the bench and the product must not evict each other's artefacts.
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(package / "target")})
    return package / "target" / profile


class Program:
    """A process on one core, with an address once it can be called."""

    def __init__(self, command, core, env=None, ready_file=None, **pipes):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *map(str, command)],
            env={**os.environ, **(env or {})}, stderr=self.log, text=True, **{"stdout": subprocess.PIPE, **pipes})
        self.command = command
        self.ready_file = ready_file
        self.address = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid  # taskset replaces itself by the program

    def wait_until_ready(self):
        """From the ready file where there is one, else from a line `listening ADDRESS`."""
        try:
            self.address = self._read_ready_file() if self.ready_file else self.line("listening ")
        except BaseException:
            self.stop()  # nobody holds it yet
            raise
        return self

    def line(self, prefix=""):
        """The next line of output, without its prefix."""
        line = self.process.stdout.readline().rstrip("\n")
        if not line or not line.startswith(prefix):
            raise self.failure(f"said {line!r} where `{prefix}…` was expected")
        return line.removeprefix(prefix)

    def memory(self):
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def failure(self, what):
        self.stop()
        self.log.seek(0)
        tail = self.log.read().decode(errors="replace")[-4000:]
        return RuntimeError(f"`{' '.join(map(str, self.command))}` {what}\n{tail}")

    def _read_ready_file(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.ready_file.exists() and (text := self.ready_file.read_text()):
                return json.loads(text)["edge"]
            time.sleep(0.02)
        raise self.failure("did not become ready")


def ask(command, core=OTHER_CORE):
    """Runs a program to its end and answers with the JSON it printed."""
    with Program(command, core) as program:
        output, _ = program.process.communicate()
        if program.process.returncode != 0:
            raise program.failure(f"ended with {program.process.returncode}")
        return json.loads(output)
