"""Each CPU kernel against its reference, in training steps that use it: `python -m benchmarks --kernels`.

A kernel that does not win somewhere is to be deleted (docs/performance.md). Ops are run one by one, on the arrays of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.table import Table

import nnbackend as nn
from nnbackend.profile import profile_step

from .report import duration
from .workloads import clusters, spiral


def steps() -> Iterator[tuple[str, dict[str, Any], Any, Any, int | None]]:
    """Networks and data in which all kernels occur: a name, what makes the model, X, y and the batch size."""
    classes = {"loss": nn.CategoricalCrossentropy, "optimizer": lambda: nn.Adam(0.02)}
    l2 = {"weight_regularizer": nn.L1L2(1e-4, 5e-4), "bias_regularizer": nn.L2(5e-4)}

    def network(n: int, width: int, m: int, *ending: Any) -> Any:
        return lambda: [
            nn.Dense(n, width, **l2),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Dense(width, m),
            *(e() for e in ending),
        ]

    for samples, width in ((100, 64), (1000, 512)):
        X, y = spiral(samples)
        yield f"spiral {width}", {"layers": network(2, width, 3, nn.Softmax), **classes}, X, y, None
    yield "spiral, not fused", {"layers": network(2, 64, 3, nn.Softmax), **classes, "fused": False}, *spiral(100), None
    image = {"layers": network(784, 128, 10, nn.Softmax), **classes}
    yield "image", image, *clusters(2_000, 784, 10), 128
    X, y = spiral(100)
    sides, values = (y > 0).astype(np.float32), X[:, :1] ** 2
    for fused in (True, False):
        binary = {"layers": network(2, 64, 1, nn.Sigmoid), "loss": nn.BinaryCrossentropy, "optimizer": lambda: nn.SGD()}
        yield f"binary, fused={fused}", {**binary, "fused": fused}, X, sides, None
    for loss, optimizer in (
        (nn.MeanSquaredError, lambda: nn.RMSprop()),
        (nn.MeanAbsoluteError, lambda: nn.Adagrad()),
        (nn.MeanAbsoluteError, lambda: nn.SGD(momentum=0.9)),
    ):
        regression = {"layers": network(2, 64, 1, nn.Linear), "loss": loss, "optimizer": optimizer}
        yield f"regression, {type(optimizer()).__name__}", regression, X, values, None


def run(*, repeats: int = 200) -> list[tuple[str, str, float, float]]:
    """(op, step, seconds of the kernel, seconds of the reference), for each op of each step that a kernel runs."""
    found = []
    for name, parts, X, y, batch_size in steps():
        measured = []
        for kernels in ("auto", "reference"):
            model = nn.Model(
                parts["layers"](), loss=parts["loss"](), optimizer=parts["optimizer"](),
                backend=nn.get_backend("cpu", kernels=kernels), fused=parts.get("fused", True), seed=0,
            )  # fmt: skip
            measured.append(profile_step(model, X, y, batch_size=batch_size, repeats=repeats))
        for fast, slow in zip(*measured, strict=True):
            if fast.implementation == "kernel":
                found.append((fast.op, name, fast.seconds, slow.seconds))
    return found


def table(found: list[tuple[str, str, float, float]]) -> Table:
    """For each op the step in which its kernel wins most."""
    rows = Table(title="CPU kernels, one by one: where each wins most", title_justify="left")
    for heading, justify in (("op", "left"), ("in the step", "left"), ("kernel", "right"), ("reference", "right"),
                             ("ratio", "right"), ("outcome", "left")):  # fmt: skip
        rows.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for op in dict.fromkeys(row[0] for row in found):
        _, step, fast, slow = min((row for row in found if row[0] == op), key=lambda row: row[2] / row[3])
        rows.add_row(op, step, duration(fast), duration(slow), f"{fast / slow:.2f}", "wins" if fast < slow else "LOSES")
    return rows
