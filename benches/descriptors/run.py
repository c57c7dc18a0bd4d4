#!/usr/bin/env python3
"""Measures what descriptors cost that are far more than the routes need: `check`, `serve`, and what reloads leave behind.

    ./run.py FOLDER                    a folder of .proto files, such as google-proto-files unpacked
    ./run.py FOLDER --set ALL.binpb    the same as one FileDescriptorSet too, from protoc --include_imports or buf build
    ./run.py FOLDER --routes few       twenty routes alone, or `all`: one for each method; both by default
    ./run.py FOLDER --protogate PATH   another binary than target/release/protogate, which is not built here

It fetches nothing. Prints a table of what was measured, and how much of its goal that is. Ends with 0 when every goal is reached, else with 1.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FEW = 20
ROUNDS = 3
# What is said of the first reload has a goal; what the last one leaves shows whether it goes on like that.
RELOADS = 5
SECONDS_GOAL = {"few": 1.0, "all": 6.0}
# 150 million bytes, in MiB.
PEAK_GOAL = {"few": 143.0, "all": None}
GROWTH_GOAL = 1.10
START_SECONDS_MAX = 120
# Memory is given back a while after it was freed: at the latest when a thread that has had nothing to do for ten seconds ends.
SETTLE_SECONDS = 13

IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
SERVICE = re.compile(r"^\s*service\s+(\w+)\s*\{", re.MULTILINE)
RPC = re.compile(r"\brpc\s+(\w+)\s*\(")


def main():
    options = parse()
    if not options.protogate.is_file():
        sys.exit(f"there is no {options.protogate}; build it with `cargo build --release`, or name another with --protogate")
    methods = sorted(set(methods_of(options.folder)))
    if len(methods) < FEW:
        sys.exit(f"{options.folder}: {len(methods)} methods, too few to say anything")
    sources = {"folder": f"proto: {options.folder.resolve()}"}
    if options.set:
        sources["set"] = f"set: {options.set.resolve()}"
    chosen = {"few": methods[:: len(methods) // FEW][:FEW], "all": methods}
    print("| descriptors | routes | what | measured | goal | ÷ goal |\n|---|---|---|---|---|---|", flush=True)
    reached = True
    for form, source in sources.items():
        for name in [options.routes] if options.routes else chosen:
            with tempfile.TemporaryDirectory(prefix="protogate-bench-") as folder:
                for what, measured, unit, goal in measure(options.protogate, Path(folder), source, name, chosen[name]):
                    share = measured / goal if goal else None
                    reached &= share is None or share <= 1
                    print(row(form, len(chosen[name]), what, measured, unit, goal, share), flush=True)
    sys.exit(0 if reached else 1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", type=Path)
    parser.add_argument("--routes", choices=["few", "all"])
    parser.add_argument("--protogate", type=Path, default=TOP / "target/release/protogate")
    return parser.parse_args()


def row(form, routes, what, measured, unit, goal, share):
    """A share in bold misses its goal."""
    digits = 0 if unit == "MiB" else 2
    shown = "" if share is None else f"{share:.2f} x" if share <= 1 else f"**{share:.2f} x**"
    return f"| {form} | {routes:,} | {what} | {measured:.{digits}f} {unit} | {f'≤ {goal:.{digits}f} {unit}' if goal else ''} | {shown} |"


def methods_of(folder):
    """Every `package.Service/Method`, by as little understanding as well-formed files need."""
    for path in folder.rglob("*.proto"):
        if path.relative_to(folder).parts[:2] == ("google", "protobuf"):
            continue
        text = IGNORED.sub(" ", path.read_text())
        package = PACKAGE.search(text)
        for service in SERVICE.finditer(text):
            for method in RPC.findall(text[service.end() : end_of(text, service.end())]):
                yield f"{package[1]}.{service[1]}/{method}" if package else f"{service[1]}/{method}"


def end_of(text, at):
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return at


def write(folder, source, methods, timeout):
    routes = "\n".join(f"  {1000 + at}: {{ name: bench.r{at}, rpc: {method} }}" for at, method in enumerate(methods))
    (folder / "routes.yaml").write_text(
        f"version: 1\ndescriptors: [{{ {source} }}]\n"
        f"backends: {{ bench: {{ grpc: {{ endpoints: [\"http://127.0.0.1:9\"] }} }} }}\n"
        f"defaults: {{ backend: bench, timeout: {timeout}s }}\nroutes:\n{routes}\n")
    (folder / "gateway.yaml").write_text("version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\nreload: { watch: false }\n")


def measure(protogate, folder, source, name, methods):
    """What is measured, how much of which unit, and the goal if there is one."""
    routes = folder / "routes"
    routes.mkdir()
    write(routes, source, methods, 5)
    # Whoever shares the machine only ever adds to a time.
    walls, cpus, peaks = zip(*[check(protogate, routes) for _ in range(ROUNDS)])
    yield "`check`", min(walls), "s", SECONDS_GOAL[name]
    yield "the same, CPU", min(cpus), "s", None
    yield "the same, peak memory", max(peaks), "MiB", PEAK_GOAL[name]
    serving, *after = serve(protogate, folder, routes, source, methods)
    yield "memory of `serve`", serving, "MiB", None
    yield "after one reload ÷ before", after[0] / serving, "x", GROWTH_GOAL
    yield f"after {RELOADS} ÷ before", after[-1] / serving, "x", None


def check(protogate, routes):
    began = time.monotonic()
    child = subprocess.Popen([protogate, "check", "--config", routes], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    if child.returncode != 0:
        sys.exit(f"check failed:\n{said[:4000]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def serve(protogate, folder, routes, source, methods):
    """Memory after the start, and after each of some reloads that change the timeout of every route, in MiB."""
    log = folder / "log"
    with log.open("w") as output:
        gateway = subprocess.Popen(
            [protogate, "serve", "--config", routes, "--data", folder / "data", "--ready-file", folder / "ready.json"],
            stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "RUST_LOG": "info"})
    try:
        until(gateway, log, lambda: (folder / "ready.json").exists())
        memory = [resident(gateway)]
        for reload in range(1, RELOADS + 1):
            write(routes, source, methods, 5 + reload)
            gateway.send_signal(signal.SIGHUP)
            until(gateway, log, lambda: log.read_text().count("reloaded") >= reload)
            memory.append(resident(gateway))
        return memory
    finally:
        gateway.terminate()
        gateway.wait(timeout=60)


def until(gateway, log, there):
    deadline = time.monotonic() + START_SECONDS_MAX
    while not there():
        if gateway.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the gateway does not:\n{log.read_text()[:4000]}")
        time.sleep(0.05)


def resident(gateway):
    time.sleep(SETTLE_SECONDS)
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    main()
