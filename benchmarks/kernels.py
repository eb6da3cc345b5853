"""Each kernel against its reference, in training steps that use it: `python -m benchmarks --ops`.

A kernel that does not win somewhere is to be deleted (docs/performance.md). Ops are run one by one, on the arrays of a step.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nnbackend as nn
from nnbackend.backend.dispatch import Tape
from nnbackend.profile import OpTime, profile_step

from .settings import Setting
from .startup import kernel_names
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
    clipped = {**classes, "optimizer": lambda: nn.AdamW(0.02, clip_norm=1.0)}
    yield "spiral, AdamW, clipped", {"layers": network(2, 64, 3, nn.Softmax), **clipped}, *spiral(100), None
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


def run(setting: Setting) -> dict[str, Any]:
    """`rows`: op, step, seconds of the kernel and of the reference, for each op of each step that a kernel runs.

    `missing`: kernels that none of the steps uses.
    """
    repeats, rounds = (2, 1) if setting.tiny else (70, 3)
    names = kernel_names(setting)
    rows = []
    for name, parts, X, y, batch_size in steps() if names else ():
        fast, slow = (
            _profiled(setting, kernels, parts, X, y, batch_size) for kernels in (setting.kernels, "reference")
        )
        turns = [(fast(repeats), slow(repeats)) for _ in range(rounds)]
        for calls in zip(*(zip(*turn, strict=True) for turn in turns), strict=True):
            if calls[0][0].implementation == "kernel":
                kernel, reference = (statistics.median(call[i].seconds for call in calls) for i in (0, 1))
                rows.append({"op": calls[0][0].op, "step": name, "kernel": kernel, "reference": reference})
    backends = setting.get_backend(), setting.get_backend(kernels="reference")
    outside = [_outside(xp, repeats) for xp in backends]
    for op in sorted(outside[0].keys() & set(names)):
        kernel, reference = (_seconds(xp, calls[op], repeats) for xp, calls in zip(backends, outside, strict=True))
        rows.append({"op": op, "step": "by itself", "kernel": kernel, "reference": reference})
    return {"rows": rows, "missing": sorted(set(names) - {row["op"] for row in rows})}


def _profiled(setting: Setting, kernels: str, parts: dict[str, Any], X: Any, y: Any, batch_size: int | None) -> Any:
    """A function of the number of repeats that times each op of a step."""
    model = nn.Model(
        parts["layers"](), loss=parts["loss"](), optimizer=parts["optimizer"](), fused=parts.get("fused", True),
        backend=setting.get_backend(kernels=kernels), seed=0,
    )  # fmt: skip

    def profile(repeats: int) -> list[OpTime]:
        return profile_step(model, X, y, batch_size=batch_size, repeats=repeats)

    return profile


def _outside(xp: Any, repeats: int) -> dict[str, Callable[[], Any]]:
    """Ops that a profile has not: what a step writes down at its end, and what only weighted samples need."""
    zeros, values = xp.zeros, xp.ones((300, 3))
    table = zeros((repeats + 2, 4), dtype="float64"), zeros(1, dtype=xp.index_dtype), zeros(4, dtype="float64")
    measured = zeros(()), zeros(()), zeros(()), zeros(1, dtype="float64")
    samples, weights, mean, weighed = xp.ones(300), xp.ones(300), zeros(()), zeros((300, 3))
    return {
        "record": lambda: xp.ops.record(*measured, state=table),
        "weighted_mean": lambda: xp.ops.weighted_mean(samples, weights, out=mean),
        "weigh": lambda: xp.ops.weigh(values, weights, out=weighed),
    }


def _seconds(xp: Any, call: Callable[[], Any], repeats: int) -> float:
    """The time of one op, run as a replayed step runs it."""
    xp.tape = tape = Tape()
    try:
        call()
    finally:
        xp.tape = None
    (run,) = tape.calls[-1].link(tape.calls[-1:])
    times = []
    for _ in range(repeats + 1):
        xp.synchronize()
        start = time.perf_counter()
        run()
        xp.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first one may compile


def best(found: dict[str, Any]) -> list[dict[str, Any]]:
    """For each op the step in which its kernel wins most."""
    rows = found["rows"]
    return [
        min((row for row in rows if row["op"] == op), key=lambda row: row["kernel"] / row["reference"])
        for op in dict.fromkeys(row["op"] for row in rows)
    ]
