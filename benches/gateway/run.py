#!/usr/bin/env python3
"""Measures protogate against the reference gateway, in one run, alternating, on this machine.

    ./run.py                 the whole table, about a quarter of an hour
    ./run.py --quick         two short rounds: is something badly wrong?
    ./run.py --only reference
    ./run.py --fanout        the fan-out alone; the rest of the table is the one that was published last

Ends with 0 when every gate is reached, 1 when one is missed, 2 when the table is void.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from harness import measure, report
from harness.gateways import ACCOUNTS, EVERY, FANOUT, FANOUT_REFERENCE, OFF, REFERENCE, Gateway
from harness.programs import BENCH, OTHER_CORE, TOP, Program, build

SHAPES = {"1x1": measure.ONE, "64x1": measure.WIDE, "16x16": measure.DEEP}
# Descriptors that a process needs beside its connections.
SPARE_DESCRIPTORS = 500


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops what was started
    os.sched_setaffinity(0, {OTHER_CORE})
    bench = build(BENCH, options.profile)
    gateways, fans = choose(options, bench)
    with tempfile.TemporaryDirectory(prefix="protogate-bench-") as folder:
        results = json.loads(report.RESULTS.read_text()) if options.fanout else run(options, bench, gateways, Path(folder))
        results["fanout"] = fan_out(options, bench, fans, Path(folder))

    output = BENCH / "target" / "results.json"
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results), f"\nIn full: {output}", sep="\n")
    if reason := report.void(results):
        print(f"\nVOID: {reason}.")
        return 2
    if options.publish:
        report.publish(results)
    missed = [row.what for row in report.rows(results) if not row.reached]
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s and 2,000 idle connections")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (7)")
    parser.add_argument("--seconds", type=float, help="the window of one measurement (5)")
    parser.add_argument("--connections", type=int, help="idle connections for memory, and those that hear the fan-out (10,000 or what the descriptor limit allows)")
    parser.add_argument("--fanout", action="store_true", help="measure the fan-out alone")
    parser.add_argument("--only", choices=["reference", "ours"], help="measure one side; nothing is compared")
    parser.add_argument("--profile", default="dist", choices=["dist", "release"], help="the cargo profile of both packages (dist)")
    parser.add_argument("--publish", action="store_true", help="write results.json and the table in docs/performance.md")
    options = parser.parse_args()
    rounds, seconds, connections = (2, 2.0, 2_000) if options.quick else (7, 5.0, 10_000)
    options.rounds = options.rounds or rounds
    options.seconds = options.seconds or seconds
    options.connections = min(options.connections or connections, raise_descriptor_limit() - SPARE_DESCRIPTORS)
    if options.publish and options.only:
        parser.error("a table with one side is not published")
    return options


def raise_descriptor_limit():
    """Every child inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def choose(options, bench):
    """Those that are called, and those that fan out."""
    gateways, fans = [], []
    if options.only != "ours":
        gateways.append(Gateway(REFERENCE, bench))
        fans.append(Gateway(FANOUT_REFERENCE, bench))
    if options.only != "reference":
        ours = build(TOP, options.profile, "--bin", "protogate")
        gateways += [Gateway(OFF, ours), Gateway(EVERY, ours)]
        fans.append(Gateway(FANOUT, ours))
    return gateways, fans


def setup(options):
    return {"rounds": options.rounds, "seconds": options.seconds, "connections": options.connections, "profile": options.profile,
            "machine": machine()}


def run(options, bench, gateways, folder):
    with Program([bench / "backend", "--listen", "127.0.0.1:0"], OTHER_CORE) as backend:
        backend.wait_until_ready()
        return {
            "setup": setup(options),
            "rounds": [alternate(options, bench, gateways, backend.address, folder / f"round{number}", number)
                       for number in range(options.rounds)],
            "memory": {gateway.name: say(gateway.name, measure.memory(bench, gateway, backend.address,
                                                                      folder / f"memory {gateway.name}", options.connections))
                       for gateway in gateways if gateway.name != OFF},
            "flood": [say("flood", measure.flood(bench, Gateway(ACCOUNTS, gateway.binaries), backend.address,
                                                 folder / f"flood{number}", options.seconds))
                      for number in range(options.rounds) for gateway in gateways if gateway.name == EVERY],
            "instructions": {gateway.name: say(gateway.name, measure.instructions(bench, gateway, backend.address,
                                                                                  folder / f"callgrind {gateway.name}"))
                             for gateway in gateways if shutil.which("valgrind")},
        }


def alternate(options, bench, gateways, backend, folder, number):
    """One round: each shape through each gateway in turn, the order reversed every other time; processes of their own each round."""
    order = gateways if number % 2 == 0 else gateways[::-1]
    results = {"direct": {}, **{gateway.name: {} for gateway in gateways}}
    for shape_name, shape in SHAPES.items():
        connections, pipelining = shape
        results["direct"][shape_name] = measure.direct(bench, backend, connections * pipelining, options.seconds)
        for gateway in order:
            with gateway.start(backend, folder / gateway.name / shape_name) as program:
                result = measure.calls(bench, gateway, program, shape, options.seconds)
            results[gateway.name][shape_name] = say(f"round {number + 1} {shape_name} {gateway.name}", result)
    return results


def fan_out(options, bench, fans, folder):
    """Rounds in which each has the same crowd in turn, the order reversed every other time; processes of their own each round."""
    rounds = []
    for number in range(options.rounds):
        order = fans if number % 2 == 0 else fans[::-1]
        rounds.append({fan.name: say(f"round {number + 1} {fan.name}", measure.fanout(bench, fan, folder / f"{fan.name} {number}",
                                                                                        options.connections, options.seconds))
                       for fan in order})
    return {"setup": setup(options), "rounds": rounds}


def say(what, result):
    """What is happening, for whoever waits."""
    print(f"{what}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return result


def machine():
    """No names: what is published says how large the machine is, and nothing else about whose it is."""
    return f"{os.cpu_count()} virtual cores"


if __name__ == "__main__":
    sys.exit(main())
