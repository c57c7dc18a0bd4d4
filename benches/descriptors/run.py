#!/usr/bin/env python3
"""Measures what descriptors cost that are far more than the routes need: `check`, `serve`, and what a reload leaves behind.

    ./run.py FOLDER                    a folder of .proto files, such as google-proto-files unpacked
    ./run.py FOLDER --set ALL.binpb    the same as one FileDescriptorSet too, from protoc --include_imports or buf build
    ./run.py FOLDER --protogate PATH   another binary than target/release/protogate, which is not built here

It fetches nothing. Prints a table, and ends with 0 when every goal is reached, else with 1.
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
RELOADS = 3
# Seconds, MiB (150 million bytes are 143), and the share by which memory may have grown after one reload.
GOALS = {"few": (1.0, 143), "all": (6.0, None)}
GROWTH_GOAL = 0.10
START_SECONDS_MAX = 120

IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
SERVICE = re.compile(r"^\s*service\s+(\w+)\s*\{", re.MULTILINE)
RPC = re.compile(r"\brpc\s+(\w+)\s*\(")


def main():
    options = parse()
    methods = sorted(set(methods_of(options.folder)))
    if len(methods) < FEW:
        sys.exit(f"{options.folder}: {len(methods)} methods, too few to say anything")
    sources = {"folder": f"proto: {options.folder.resolve()}"}
    if options.set:
        sources["set"] = f"set: {options.set.resolve()}"
    print(f"{len(methods)} methods in {options.folder}\n")
    print("| descriptors | routes | `check` | CPU | peak memory | goal | serving | after one reload | after three | goal |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    reached = True
    for form, source in sources.items():
        for name, chosen in {"few": methods[:: len(methods) // FEW][:FEW], "all": methods}.items():
            with tempfile.TemporaryDirectory(prefix="protogate-bench-") as folder:
                reached &= row(options.protogate, Path(folder), form, source, name, chosen)
    sys.exit(0 if reached else 1)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", type=Path)
    parser.add_argument("--protogate", type=Path, default=TOP / "target/release/protogate")
    return parser.parse_args()


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


def row(protogate, folder, form, source, name, methods):
    routes = folder / "routes"
    routes.mkdir()
    write(routes, source, methods, 5)
    checks = [check(protogate, routes) for _ in range(ROUNDS)]
    # Whoever shares the machine only ever adds to a time.
    walls, cpus, peaks = zip(*checks)
    took, cpu, peak = min(walls), min(cpus), max(peaks)
    serving = serve(protogate, folder, routes, source, methods)
    seconds, mebibytes = GOALS[name]
    good = took <= seconds and (mebibytes is None or peak <= mebibytes)
    grown = serving[1] / serving[0] - 1
    goal = f"≤ {seconds:.0f} s" + (f", ≤ {mebibytes} MiB" if mebibytes else "")
    print(
        f"| {form} | {len(methods)} | {took:.2f} s | {cpu:.2f} s | {peak:.0f} MiB | {goal}{'' if good else ' **missed**'} "
        f"| {serving[0]:.0f} MiB | {serving[1]:.0f} MiB ({grown:+.0%}) | {serving[2]:.0f} MiB "
        f"| ≤ +{GROWTH_GOAL:.0%}{'' if grown <= GROWTH_GOAL else ' **missed**'} |", flush=True)
    return good and grown <= GROWTH_GOAL


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
    """Memory after the start, after one reload that changes the timeout of every route, and after three, in MiB."""
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
        return memory[0], memory[1], memory[-1]
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
    time.sleep(1)
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    main()
