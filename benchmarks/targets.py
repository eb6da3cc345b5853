"""The figures to reach, and what a run says about each."""

from __future__ import annotations

from dataclasses import dataclass

from .measure import Result

OURS = "nnbackend"
RIVALS = ("plain-float32", "torch", "torch-compile", "torch-graph", "torch-compile-graph", "jax", "sklearn")
_TORCH = ("torch", "torch-compile")


@dataclass(frozen=True)
class Target:
    """A figure to beat: the time of `peer` divided by that of the best of `others` is at most `limit`."""

    workload: str
    others: tuple[str, ...]
    limit: float
    label: str
    peer: str = OURS
    gpu: bool = False

    def measured(self, results: dict[str, Result]) -> float | None:
        """The ratio to the quickest of the others, or None where one of the two was not measured."""
        result = results.get(self.workload)
        ratios = [result.ratio(self.peer, other) for other in self.others] if result else []
        return max((ratio for ratio in ratios if ratio is not None), default=None)


TARGETS = (
    Target("spiral", ("plain-numpy",), 0.11, "spiral, training step / plain NumPy (float64, its default)"),
    Target("spiral", ("plain-float32",), 0.11, "spiral, training step / plain NumPy in float32"),
    Target("spiral", ("torch",), 0.09, "spiral, training step / PyTorch eager, fused Adam"),
    Target("spiral", ("jax",), 0.70, "spiral, training step / JAX jit + scan"),
    Target("spiral-1000", ("jax",), 0.70, "spiral-1000, step / JAX jit + scan"),
    Target("image", ("jax",), 0.90, "image, epoch / JAX jit + scan"),
    Target("image", _TORCH, 0.60, "image, epoch / PyTorch, the better of eager and compile"),
    Target("image", ("floor",), 1.35, "image, step / bare matrix products"),
    Target("wide", RIVALS, 1.00, "wide, step / the best peer"),
    Target("inference-1", ("torch",), 0.60, "inference, batch 1 / PyTorch eager, NumPy in and out"),
    Target("inference-1", ("torch-tensors",), 0.60, "inference, batch 1 / PyTorch eager, tensors in and out"),
    Target("spiral", ("jax",), 0.50, "GPU: spiral, step / JAX jit + scan", gpu=True),
    Target("image", RIVALS, 0.70, "GPU: image, epoch / the best peer", gpu=True),
    Target("wide-tf32", _TORCH, 1.00, "GPU: wide, step, tf32 / PyTorch, the better of eager and compile", gpu=True),
    Target("wide-bfloat16", _TORCH, 1.00, "GPU: wide, step, bfloat16 / PyTorch, the better of the two", gpu=True),
    Target("spiral", ("plain-numpy",), 0.35, "reference path, spiral / plain NumPy (float64)", "nnbackend-reference"),
    Target("spiral", ("plain-float32",), 0.35, "reference path, spiral / plain NumPy, float32", "nnbackend-reference"),
)


@dataclass(frozen=True)
class Outcome:
    """A figure, what was measured, and what that means."""

    target: Target
    measured: float | None
    outcome: str


def outcomes(results: dict[str, Result], *, on_gpu: bool) -> list[Outcome]:
    """All figures, those that this run cannot know as well."""
    found = []
    for target in TARGETS:
        measured = target.measured(results) if target.gpu == on_gpu else None
        if measured is not None:
            outcome = "reached" if measured <= target.limit else "NOT reached"
        elif target.gpu != on_gpu:
            outcome = "not measured: --backend gpu does" if target.gpu else "not measured: --backend cpu does"
        else:
            outcome = "not measured"
        found.append(Outcome(target, measured, outcome))
    return found
