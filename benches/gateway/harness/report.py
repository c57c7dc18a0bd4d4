"""From rounds of measurements to one table, and whether the gates are reached.

A ratio is taken inside each round and the median is over ratios: neighbours slow a whole round down, so absolute numbers of two
rounds, let alone of two days, are not comparable.
"""

import json
import statistics
from dataclasses import dataclass

from .gateways import EVERY, FANOUT, FANOUT_REFERENCE, OFF, REFERENCE
from .programs import BENCH, TOP

# More than this and the reference is not what a good engineer writes: the comparison would flatter us.
REFERENCE_INSTRUCTIONS_MAX = 52_000

RESULTS = BENCH / "results.json"
PAGE = TOP / "docs" / "performance.md"
MARKERS = ("<!-- table -->", "<!-- /table -->")

KIB = 1024


@dataclass
class Row:
    """One line: what both measured, what is judged (one value a round), the gate that must hold and the goal that is aimed at."""

    what: str
    unit: str
    reference: list
    ours: list
    judged: list
    judged_unit: str = "x"
    gate: float | None = None
    goal: float | None = None

    @property
    def reached(self):
        return self.gate is None or not self.judged or statistics.median(self.judged) <= self.gate

    def markdown(self):
        cells = [self.what, _median(self.reference, self.unit), _median(self.ours, self.unit), self._judgement(),
                 _bound(self.gate, self.judged_unit), _bound(self.goal, self.judged_unit)]
        return f"| {' | '.join(cells)} |"

    def _judgement(self):
        if not self.judged:
            return "–"
        text = f"{statistics.median(self.judged):.2f} {self.judged_unit}"
        if len(self.judged) > 1:
            low, _, high = statistics.quantiles(self.judged, n=4, method="inclusive")
            text += f" ({low:.2f}–{high:.2f})"
        return text if self.reached else f"**{text}**"


def void(results):
    """Why the table says nothing, or None."""
    measured = max(results["instructions"].get(REFERENCE, {}).values(), default=None)
    if measured is None:
        return "the reference's instructions were not counted, so nobody knows that it is a fair one"
    if measured > REFERENCE_INSTRUCTIONS_MAX:
        return f"the reference spends {measured:,.0f} instructions a request, more than {REFERENCE_INSTRUCTIONS_MAX:,}"
    return None


def rows(results):
    """Every line of the table; a column that was not measured stays empty."""

    def series(name, shape, key):
        return [entry[name][shape][key] for entry in results["rounds"] if name in entry]

    def cpu(what, shape, above, below, **bounds):
        pair = series(below, shape, "cpu_us"), series(above, shape, "cpu_us")
        return Row(what, "µs", *pair, _ratios(pair[1], pair[0]), **bounds)

    def latency(what, shape, **bounds):
        reference, ours, direct = (series(name, shape, "p50_us") for name in (REFERENCE, EVERY, "direct"))
        return Row(what, "µs", reference, ours, _ratios(ours, direct), **bounds)

    def memory(name, key):
        return [results["memory"][name][key] / KIB] if name in results["memory"] else []

    fresh, used = ([memory(name, key) for name in (REFERENCE, EVERY)] for key in ("fresh", "used"))

    def instructions(what, shape, above, below):
        pair = [[results["instructions"][name][shape]] if name in results["instructions"] else [] for name in (below, above)]
        return Row(what, "", *pair, _ratios(pair[1], pair[0]))

    def heard(*path):
        """Of the reference and of ours."""

        def value(entry):
            for key in path:
                entry = entry[key]
            return entry

        rounds = results.get("fanout", {}).get("rounds", [])
        return [[value(entry[name]) for entry in rounds if name in entry] for name in (FANOUT_REFERENCE, FANOUT)]

    def fanout(what, *path, unit="µs", scale=1, **bounds):
        pair = [[value / scale for value in series] for series in heard(*path)]
        return Row(what, unit, *pair, _ratios(pair[1], pair[0]), **bounds)

    hearers = f"{results.get('fanout', results)['setup']['connections']:,}"
    quiet, beside = ([entry[key] for entry in results.get("flood", [])] for key in ("quiet_us", "flood_us"))

    return [
        cpu("CPU per request, every policy: 64 connections, one call at a time", "64x1", EVERY, REFERENCE, gate=1.0, goal=0.75),
        cpu("the same: 16 connections x 16 calls", "16x16", EVERY, REFERENCE, gate=0.5, goal=0.35),
        cpu("CPU per request, every policy on (second column) ÷ off (first): 64 x 1", "64x1", EVERY, OFF, goal=1.05),
        cpu("the same: 16 x 16", "16x16", EVERY, OFF, goal=1.05),
        latency("p50, ours ÷ direct gRPC: one call at a time", "1x1", goal=1.6),
        latency("the same: 64 in flight", "64x1", goal=1.0),
        fanout(f"CPU per delivery of a message that {hearers} hear, one at a time", "1", "cpu_us", gate=1.05, goal=1.0),
        fanout("the same: in bursts of 10", "10", "cpu_us", gate=0.5, goal=0.3),
        fanout("deliveries a second: one at a time", "1", "per_second", unit=""),
        fanout("the same: in bursts of 10", "10", "per_second", unit=""),
        fanout("from saying to hearing, p50: one at a time", "1", "p50_us", unit="ms", scale=1000),
        fanout("the same: p99", "1", "p99_us", unit="ms", scale=1000),
        fanout("the same: p99, in bursts of 10", "10", "p99_us", unit="ms", scale=1000),
        fanout("memory per connection that hears a topic", "memory", unit="KiB", scale=KIB),
        Row("memory per idle connection", "KiB", *fresh, fresh[1], "KiB", gate=2.0, goal=1.5),
        Row("the same after traffic; ÷ fresh", "KiB", *used, _ratios(used[1], fresh[1]), goal=1.1),
        Row("p99 of 64 x 1 beside 900 logins a second (second column) ÷ in quiet (first)", "µs", quiet, beside, _ratios(beside, quiet), goal=1.5),
        instructions("instructions per request (user space), every policy: 8 x 1", "8x1", EVERY, REFERENCE),
        instructions("the same: 16 x 16", "16x16", EVERY, REFERENCE),
        instructions("instructions per request, every policy on ÷ off: 8 x 1", "8x1", EVERY, OFF),
    ]


def markdown(results):
    head = ["| what | reference | protogate | judged: median (quartiles) | gate | goal |", "|---|---|---|---|---|---|"]
    rounds, setup = len(results["rounds"]), results["setup"]
    direct = {shape: _median([entry["direct"][shape]["p50_us"] for entry in results["rounds"]], "µs") for shape in ("1x1", "64x1")}
    note = (f"{rounds} rounds of {setup['seconds']:g} s on {setup['machine']}, profile `{setup['profile']}`; memory over "
            f"{setup['connections']:,} connections. Direct gRPC: p50 {direct['1x1']} one at a time, {direct['64x1']} with 64 in flight.")
    if fanout := results.get("fanout"):
        setup = fanout["setup"]
        note += f" Fan-out: {len(fanout['rounds'])} rounds of {setup['seconds']:g} s for each shape, profile `{setup['profile']}`."
    return "\n".join([*head, *(row.markdown() for row in rows(results)), "", note])


def publish(results):
    """Keeps the numbers with the code, and shows them where people look."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    page = PAGE.read_text()
    before, rest = page.split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    PAGE.write_text(f"{before}{MARKERS[0]}\n{markdown(results)}\n{MARKERS[1]}{after}")


def _ratios(above, below):
    return [a / b for a, b in zip(above, below)]


def _median(values, unit):
    if not values:
        return "–"
    value = statistics.median(values)
    return f"{value:,.0f} {unit}".strip() if value >= 100 else f"{value:.2f} {unit}"


def _bound(value, unit):
    return "" if value is None else f"≤ {value:g} {unit}"
