"""Tables for people, and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .measure import Result

OURS = "nnbackend"


@dataclass(frozen=True)
class Target:
    """A figure to beat: the time of `peer` divided by that of the best of `others` is at most `limit`."""

    workload: str
    others: tuple[str, ...]
    limit: float
    label: str
    peer: str = OURS

    def measured(self, results: dict[str, Result]) -> float | None:
        """The ratio to the quickest of the others, or None where one of the two was not measured."""
        result = results.get(self.workload)
        ratios = [result.ratio(self.peer, other) for other in self.others] if result else []
        return max((ratio for ratio in ratios if ratio is not None), default=None)


_PEERS = ("plain-float32", "torch", "torch-compile", "jax", "sklearn")
TARGETS = (
    Target("spiral", ("plain-numpy",), 0.11, "spiral, training step / plain NumPy (float64, its default)"),
    Target("spiral", ("plain-float32",), 0.11, "spiral, training step / plain NumPy in float32"),
    Target("spiral", ("torch",), 0.09, "spiral, training step / PyTorch eager, fused Adam"),
    Target("spiral", ("jax",), 0.70, "spiral, training step / JAX jit + scan"),
    Target("spiral-1000", ("jax",), 0.70, "spiral-1000, step / JAX jit + scan"),
    Target("image", ("jax",), 0.90, "image, epoch / JAX jit + scan"),
    Target("image", ("torch", "torch-compile"), 0.60, "image, epoch / PyTorch, the better of eager and compile"),
    Target("image", ("floor",), 1.35, "image, step / bare matrix products"),
    Target("wide", _PEERS, 1.00, "wide, step / the best peer"),
    Target("inference-1", ("torch",), 0.60, "inference, batch 1 / PyTorch eager"),
    Target("spiral", ("plain-numpy",), 0.35, "spiral, reference path / plain NumPy (float64)", "nnbackend-reference"),
    Target(
        "spiral", ("plain-float32",), 0.35, "spiral, reference path / plain NumPy in float32", "nnbackend-reference"
    ),
)


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale or unit == "µs":
            return f"{seconds / scale:.3g} {unit}"
    raise AssertionError


def workload_table(result: Result) -> Table:
    """A workload's peers, with times and ratios."""
    table = Table(title=f"{result.workload}: time a {result.unit}", title_justify="left")
    for name, justify in (("peer", "left"), ("median", "right"), ("least", "right"), (f"{OURS} takes", "right"),
                          ("peak memory", "right"), ("loss", "right"), ("versions", "left")):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, peer in result.peers.items():
        ratio = result.ratio(OURS, name)
        loss = peer["loss"]
        table.add_row(
            name,
            duration(peer["seconds"]),
            duration(min(peer["times"])),
            "" if ratio is None or name == OURS else f"{ratio:.2f} of it",
            f"{peer['peak_bytes'] / 2**20:.0f} MiB",
            "" if loss is None else f"{loss:.5f}",
            peer["versions"],
        )
    for name, reason in result.absent.items():
        table.add_row(name, "", "", "", "", "", reason)
    return table


def target_table(results: dict[str, Result]) -> Table:
    """The figures to reach, each with its outcome."""
    table = Table(title="Figures to reach: time ratios, medians over the rounds of one run", title_justify="left")
    for name in ("figure", "at most", "measured", "outcome"):
        table.add_column(name, justify="left" if name in ("figure", "outcome") else "right")
    for target in TARGETS:
        measured = target.measured(results)
        outcome = "not measured" if measured is None else "reached" if measured <= target.limit else "NOT reached"
        table.add_row(target.label, f"{target.limit:.2f}", "" if measured is None else f"{measured:.3f}", outcome)
    return table


def write(path: Path, results: Sequence[Result], **about: Any) -> None:
    """The JSON file."""
    by_name = {result.workload: result for result in results}
    targets = [{**asdict(target), "measured": target.measured(by_name)} for target in TARGETS]
    document = {**about, "results": [asdict(result) for result in results], "targets": targets}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(console: Console, results: Sequence[Result]) -> None:
    """All tables, the targets last."""
    for result in results:
        console.print(workload_table(result))
    console.print(target_table({result.workload: result for result in results}))


def markdown(document: dict[str, Any]) -> str:
    """The tables of a JSON file, for docs/performance.md."""
    machine = document["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, Python "
        f"{machine['python']}, commit `{machine['commit']}`, {machine['date']}, load average {machine['load_average'][0]}.",
        "",
        "| figure | at most | measured | outcome |",
        "|---|---|---|---|",
    ]
    for target in document["targets"]:
        measured = target["measured"]
        if measured is not None:
            outcome = "reached" if measured <= target["limit"] else "**not reached**"
            lines.append(f"| {target['label']} | {target['limit']:.2f} | {measured:.3f} | {outcome} |")
    for result in document["results"]:
        lines += ["", f"**{result['workload']}**, time a {result['unit']}:", "", "| peer | median | least | memory |"]
        lines.append("|---|---|---|---|")
        for name, peer in result["peers"].items():
            times = f"{duration(peer['seconds'])} | {duration(min(peer['times']))}"
            lines.append(f"| {name} ({peer['versions']}) | {times} | {peer['peak_bytes'] / 2**20:.0f} MiB |")
    return "\n".join(lines)
