"""The measurements. Each takes running programs and answers with numbers; none compares."""

import json
import re
import time
from pathlib import Path

from .programs import GATEWAY_CORE, OTHER_CORE, Program, ask

# (connections, calls in flight on each)
ONE, WIDE, DEEP = (1, 1), (64, 1), (16, 16)

# Calls counted under valgrind; the short run pays for the start and is subtracted.
SHORT_CALLS, LONG_CALLS = 2_000, 12_000
CALLGRIND_SHAPES = {"8x1": (8, 1), "16x16": DEEP}

SETTLE_SECONDS = 2.0

# Messages that are published with one write.
BURSTS = (1, 10)

# A processor computes some 45 of our hashes a second; whoever attacks has many addresses.
FLOOD_RATE, FLOOD_ADDRESSES = 900, 200


def load(binaries: Path, gateway, address, shape, *rest):
    connections, pipelining = shape
    return [binaries / "load", "run", "--address", address, "--connections", connections, "--pipelining", pipelining,
            *gateway.client, *rest]


def calls(binaries, gateway, program, shape, seconds):
    """CPU microseconds of the gateway per reply, latency, throughput."""
    result = ask(load(binaries, gateway, program.address, shape, "--seconds", seconds, "--watch", program.pid))
    if result["errors"] or not result["replies"]:
        raise RuntimeError(f"{gateway.name}: {result}: a run with errors measures nothing")
    return {
        "cpu_us": result["cpu_us"] / result["replies"],
        "per_second": result["replies"] / result["seconds"],
        "busy": result["cpu_us"] / result["seconds"] / 1e6,
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
    }


def direct(binaries, backend, inflight, seconds):
    """Latency with no gateway; the client stands on the core where the gateway would."""
    command = [binaries / "direct", "--backend", backend, "--inflight", inflight, "--seconds", seconds]
    return ask(command, GATEWAY_CORE)


def memory(binaries, gateway, backend, folder, connections):
    """Resident bytes per idle connection, fresh and after traffic, of a gateway that has done nothing else."""
    with gateway.start(backend, folder) as program:
        # Pools, caches and code pages that the first calls touch belong to the process and not to connections.
        calls(binaries, gateway, program, WIDE, 1)
        time.sleep(SETTLE_SECONDS)
        base = program.memory()
        command = [binaries / "load", "idle", "--address", program.address, "--connections", connections, *gateway.client]
        with Program(command, OTHER_CORE, stdin=-1) as crowd:
            crowd.line("open")
            time.sleep(SETTLE_SECONDS)
            fresh = program.memory()
            print("traffic", file=crowd.process.stdin, flush=True)
            crowd.line("worked")
            time.sleep(SETTLE_SECONDS)
            used = program.memory()
            crowd.process.stdin.close()
            crowd.process.wait()
    return {"base": base, "fresh": (fresh - base) / connections, "used": (used - base) / connections}


def flood(binaries, gateway, backend, folder, seconds):
    """The p99 of 9001 in quiet and beside a flood of logins, twenty times as many as one processor can hash."""
    with gateway.start(backend, folder) as program:
        quiet = calls(binaries, gateway, program, WIDE, seconds)
        command = [binaries / "load", "flood", "--address", program.address, "--connections", FLOOD_ADDRESSES, "--rate", FLOOD_RATE]
        with Program(command, OTHER_CORE, stdin=-1) as rush:
            rush.line("open")
            beside = calls(binaries, gateway, program, WIDE, seconds)
            rush.process.stdin.close()
            counted = json.loads(rush.line())
    return {"quiet_us": quiet["p99_us"], "flood_us": beside["p99_us"], "quiet_p50_us": quiet["p50_us"], "flood_p50_us": beside["p50_us"], **counted}


def fanout(binaries, gateway, folder, connections, seconds):
    """One topic that so many connections hear: resident bytes for each, and what a delivery costs and takes, by burst."""
    with gateway.start(None, folder) as program:
        base = program.memory()
        command = [binaries / "load", "hear", "--address", program.address, "--connections", connections, "--watch", program.pid, *gateway.client]
        with Program(command, OTHER_CORE, stdin=-1) as crowd:
            crowd.line("joined")
            time.sleep(SETTLE_SECONDS)
            results = {"memory": (program.memory() - base) / connections}
            for burst in BURSTS:
                print(burst, seconds, file=crowd.process.stdin, flush=True)
                heard = json.loads(crowd.line())
                results[str(burst)] = {
                    "cpu_us": heard["cpu_us"] / heard["deliveries"],
                    "per_second": heard["deliveries"] / heard["seconds"],
                    "busy": heard["cpu_us"] / heard["seconds"] / 1e6,
                    "p50_us": heard["p50_us"],
                    "p99_us": heard["p99_us"],
                }
            results["memory_after"] = (program.memory() - base) / connections
    return results


def instructions(binaries, gateway, backend, folder):
    """User-space instructions per request under callgrind, by shape: a long run minus a short one."""
    results = {}
    for name, shape in CALLGRIND_SHAPES.items():
        short, long = (_collected(binaries, gateway, backend, folder / name / str(count), shape, count) for count in (SHORT_CALLS, LONG_CALLS))
        results[name] = (long - short) / (LONG_CALLS - SHORT_CALLS)
    return results


def _collected(binaries, gateway, backend, folder, shape, count):
    output = folder.parent / f"callgrind.{count}"
    under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
    with gateway.start(backend, folder, under) as program:
        result = ask(load(binaries, gateway, program.address, shape, "--calls", count))
        if result["errors"] or result["replies"] != count:
            raise RuntimeError(f"{gateway.name} under valgrind: {result}")
    return int(re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE)[1])
