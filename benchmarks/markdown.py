"""A result as Markdown: all tables for docs/performance.md, and the README's short one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .document import Document
from .kernels import best
from .measure import Result
from .targets import OURS, outcomes
from .units import duration, mebibytes

# The columns of the short table, each with its peers: the quickest of them counts.
COLUMNS = {
    "nnbackend on the CPU": ("nnbackend-cpu",),
    "plain NumPy": ("plain-float32",),
    "scikit-learn": ("sklearn",),
    "PyTorch": ("torch", "torch-compile", "torch-graph", "torch-compile-graph"),
    "JAX": ("jax",),
}

# What a reader who does not know the workloads is told.
_NAMES = {
    "spiral": "spiral: 300 samples, 2-64-3, a step",
    "spiral-1000": "spiral: 3,000 samples, 2-512-3, a step",
    "image": "image: 60,000 × 784, 784-128-128-10, an epoch",
    "wide": "wide: 1024-4096-4096-1000, a step",
    "wide-tf32": "wide in tf32: a step",
    "wide-bfloat16": "wide in bfloat16: a step",
    "inference-1": "inference: 1 sample, 784-128-128-10",
    "inference-10000": "inference: 10,000 samples",
}


@dataclass(frozen=True)
class Row:
    """A workload in short: nnbackend's time, and how many times as long others take."""

    name: str
    ours: str
    times: dict[str, float]


def comparison(document: Document) -> list[Row]:
    """All workloads that nnbackend ran."""
    rows = []
    for result in document.results.values():
        if OURS not in result.peers:
            continue
        times = {}
        for column, peers in COLUMNS.items():
            ratios = [ratio for peer in peers if (ratio := result.ratio(OURS, peer)) is not None]
            if ratios:
                times[column] = 1 / max(ratios)
        name = _NAMES.get(result.workload, result.workload)
        rows.append(Row(name, duration(result.peers[OURS]["seconds"]), times))
    return rows


def short(document: Document) -> str:
    """The README's table."""
    rows = comparison(document)
    columns = [name for name in COLUMNS if any(name in row.times for row in rows)]
    lines = _table(
        ["", "nnbackend", *columns],
        (
            [row.name, row.ours, *(f"{row.times[name]:.3g}×" if name in row.times else "" for name in columns)]
            for row in rows
        ),
    )
    return "\n".join(
        [*lines, "", f"{_machine(document)}; {_commits(document)}. × is how many times as long a peer takes."]
    )


def full(document: Document) -> str:
    """Every table, each with the commit and the hour that it is from."""
    lines = [f"{_machine(document)}.", "", *_figures(document)]
    for result in document.results.values():
        lines += ["", *_workload(result)]
    for name, title, rows in _PARTS:
        if name in document.parts:
            part = document.parts[name]
            lines += ["", f"**{title}** ({_provenance(part['measured'])}):", "", *rows(part["rows"])]
    for line in document.wrong:
        lines += ["", f"Did not learn the same: {line}."]
    return "\n".join(lines)


def _machine(document: Document) -> str:
    machine = document.machine
    gpu = f"{machine['gpu']}; " if "gpu" in machine else ""
    return (
        f"{gpu}{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}"
    )


def _commits(document: Document) -> str:
    found = dict.fromkeys(result.measured["commit"] for result in document.results.values())
    return ("commit " if len(found) == 1 else "commits ") + ", ".join(f"`{commit}`" for commit in found)


def _provenance(measured: dict[str, Any]) -> str:
    load = measured.get("load_average")
    words = [f"commit `{measured['commit']}`", measured["date"]]
    if load:
        words.append(f"load average {load[0]}")
    if measured.get("kernels", "auto") != "auto":
        words.append(f"kernels={measured['kernels']}")
    return ", ".join(words)


def _figures(document: Document) -> list[str]:
    rows = []
    for found in outcomes(document.results, on_gpu=document.on_gpu):
        if found.measured is not None:
            outcome = "reached" if found.outcome == "reached" else "**not reached**"
            commit = document.results[found.target.workload].measured["commit"]
            rows.append(
                [found.target.label, f"{found.target.limit:.2f}", f"{found.measured:.3f}", outcome, f"`{commit}`"]
            )
    return _table(["figure", "at most", "measured", "outcome", "commit"], rows)


def _workload(result: Result) -> list[str]:
    busiest = max((max(peer["others_busy_cores"]) for peer in result.peers.values()), default=0.0)
    turns = max((len(peer["times"]) for peer in result.peers.values()), default=0)
    head = (
        f"**{result.workload}**, time {'an' if result.unit == 'epoch' else 'a'} {result.unit} ({_provenance(result.measured)}; "
        f"{turns} turns each, in which others used at most {busiest:.2f} cores):"
    )
    on_device = any(peer.get("device_peak_bytes") for peer in result.peers.values())
    rows = []
    for name, peer in result.peers.items():
        ratio = result.ratio(OURS, name)
        takes = "" if ratio is None or name == OURS else f"{ratio:.3f} of it"
        row = [f"{name} ({peer['versions']})", duration(peer["seconds"]), duration(min(peer["times"])), takes]
        rows.append(
            [*row, mebibytes(peer["peak_bytes"]), *([mebibytes(peer["device_peak_bytes"])] if on_device else [])]
        )
    headings = ["peer", "median", "least", f"{OURS} takes", "peak memory", *(["of the GPU"] if on_device else [])]
    failed = [f"{name} {reason}" for name, reason in result.absent.items() if reason.startswith("failed")]
    return [head, "", *_table(headings, rows), *(["", f"Left out: {'; '.join(failed)}."] if failed else [])]


def _startup(rows: dict[str, float]) -> list[str]:
    return _table(["what, in a fresh process", "time"], ([name, duration(seconds)] for name, seconds in rows.items()))


def _kernels(found: dict[str, Any]) -> list[str]:
    rows = [
        [f"`{row['op']}`", row["step"], duration(row["kernel"]), duration(row["reference"]),
         f"{row['kernel'] / row['reference']:.2f}"]
        for row in best(found)
    ]  # fmt: skip
    lines = _table(["op", "in the step", "kernel", "reference", "ratio"], rows)
    return lines if not found["missing"] else [*lines, "", f"Not measured: {', '.join(found['missing'])}."]


def _scaling(found: dict[str, Any]) -> list[str]:
    points = [(axis, point) for axis, axis_points in found["rows"].items() for point in axis_points]
    peers = list(dict.fromkeys(peer for _, point in points for peer in point["seconds"]))
    return _table(
        ["what grows", "to", *peers],
        (
            [axis, f"{point['value']:,}", *(duration(point["seconds"].get(peer)) for peer in peers)]
            for axis, point in points
        ),
    )


_PARTS = (
    ("startup", "Start-up", _startup),
    ("kernels", "Each kernel, where it wins most against its reference", _kernels),
    ("scaling", "How the time of a training step grows", _scaling),
)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_line(headings), "|" + "---|" * len(headings), *(_line(row) for row in rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
