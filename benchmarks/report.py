"""Tables for people, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .document import Document
from .kernels import best
from .measure import Result
from .targets import OURS, outcomes
from .units import duration, mebibytes


def new_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for the tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=170, highlight=False)


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str] = ()) -> Table:
    """Columns of numbers stand to the right, those of `words` to the left."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in words else "right")
    for row in rows:
        table.add_row(*row)
    return table


def workload(result: Result) -> Table:
    """A workload's peers, with times and ratios; then those that were left out, each with the reason."""
    on_device = any(peer["device_peak_bytes"] for peer in result.peers.values())
    headings = ["peer", "median", "least", f"{OURS} takes", "peak memory", *(["of the GPU"] if on_device else [])]
    rows = []
    for name, peer in result.peers.items():
        ratio = result.ratio(OURS, name)
        takes = "" if ratio is None or name == OURS else f"{ratio:.2f} of it"
        row = [name, duration(peer["seconds"]), duration(min(peer["times"])), takes, mebibytes(peer["peak_bytes"])]
        row += [mebibytes(peer["device_peak_bytes"])] if on_device else []
        rows.append([*row, "" if peer["loss"] is None else f"{peer['loss']:.5f}", peer["versions"]])
    rows += [[name, *[""] * len(headings), reason] for name, reason in result.absent.items()]
    title = f"{result.workload}: time {'an' if result.unit == 'epoch' else 'a'} {result.unit}"
    return _table(title, [*headings, "loss", "versions"], rows, ("peer", "versions"))


def startup(rows: dict[str, float]) -> Table:
    """What it takes to begin."""
    return _table(
        "Start-up, in a fresh process", ["what", "time"], ([name, duration(t)] for name, t in rows.items()), ("what",)
    )


def kernels(found: dict[str, Any]) -> Table:
    """For each op the step in which its kernel wins most."""
    rows = []
    for row in best(found):
        ratio = row["kernel"] / row["reference"]
        times = duration(row["kernel"]), duration(row["reference"])
        rows.append([row["op"], row["step"], *times, f"{ratio:.2f}", "wins" if ratio < 1 else "LOSES"])
    rows += [[op, "in none", "", "", "", "not measured"] for op in found["missing"]]
    headings = ["op", "in the step", "kernel", "reference", "ratio", "outcome"]
    words = ("op", "in the step", "outcome")
    return _table("Kernels, one by one: where each wins most", headings, rows, words)


def scaling(found: dict[str, Any]) -> Table:
    """Median times a step."""
    points = [(axis, point) for axis, axis_points in found["rows"].items() for point in axis_points]
    peers = list(dict.fromkeys(peer for _, point in points for peer in point["seconds"]))
    rows = [
        [axis, f"{point['value']:,}", *(duration(point["seconds"].get(peer)) for peer in peers)]
        for axis, point in points
    ]
    headings = ["what grows", "to", *peers]
    return _table("Time a training step as the network or its data grow", headings, rows, ("what grows",))


def figures(document: Document) -> Table:
    """The figures to reach, each with its outcome."""
    rows = [
        [found.target.label, f"{found.target.limit:.2f}", "" if found.measured is None else f"{found.measured:.3f}",
         found.outcome]
        for found in outcomes(document.results, on_gpu=document.on_gpu)
    ]  # fmt: skip
    title = "Figures to reach: time ratios, medians over the rounds of one run"
    return _table(title, ["figure", "at most", "measured", "outcome"], rows, ("figure", "outcome"))


PARTS = {"startup": startup, "kernels": kernels, "scaling": scaling}
