"""Two backends step by step from common values: what finds a wrong operation, and says where.

The judge computes in float64 with the reference ops. Every step begins with the judge's parameters and optimizer
state, rounded to the other side's dtype, on both sides. The other side runs a whole compiled step, as in training. The
judge repeats it in three parts, each from values that are common to both:

    forward     from the parameters: outputs, losses and accuracy; the last activation and the loss also from what
                the other side's activation took in
    backward    from the other side's outputs: gradients. A rectifier passes a gradient or not, however small the
                value, and a small error is the difference of two large numbers: rounding decides there
    update      from the other side's gradients: parameters and state. Adam turns a difference in a gradient near zero
                into one of any size

and then makes a step of its own, so that a fault of the other side does not spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import Backend, get_backend
from ..checks import count
from ..losses import BinaryCrossentropy
from ..metrics import BinaryAccuracy, CategoricalAccuracy
from ..ops import CLIP
from ..testing.tolerances import LOSS_FLOOR_IN_EPS, eps, largest_difference, largest_element, tolerance, ulp
from ..weights import Weights
from .scales import Scale, gradient_scales, loss_scale, output_scales
from .side import Build, Named, Side, Snapshot, within_range


@dataclass(frozen=True)
class Measurement:
    """How far one tensor was off in one step.

    `relative` and `ulps` are relative to the tensor's largest element; `share` is the part of the tolerance that the
    difference takes up, which is relative to what was summed where sums cancel (`testing/tolerances.py`).
    """

    step: int
    part: str  # forward, backward or update
    layer: str  # empty for the loss and the accuracy
    tensor: str
    relative: float
    ulps: float
    share: float
    in_range: bool = True  # whether the side's dtype can hold what the judge found

    @property
    def name(self) -> str:
        """Layer and tensor, as in dense_1.dweights or dense_1.weights.momentums."""
        return f"{self.layer}.{self.tensor}" if self.layer else self.tensor

    @property
    def beyond(self) -> bool:
        """Whether it is further off than rounding explains; NaN is."""
        return not self.share <= 1

    def __str__(self) -> str:
        return (
            f"step {self.step}: {self.name} is off by {self.relative:.2g} of its largest element, {self.share:.3g} times what "
            "rounding explains"
        )


@dataclass
class Comparison:
    """What a comparison found. `passed` is the verdict."""

    backend: Backend
    judge: Backend
    kinds: dict[str, str] = field(default_factory=dict)  # the class behind each layer, data_loss, accuracy, ..., update
    steps: int = 0
    worst: dict[str, Measurement] = field(default_factory=dict)  # for each tensor
    first_beyond: Measurement | None = None
    overflow: Measurement | None = (
        None  # the first value that the dtype cannot hold: training diverges, and it ends there
    )
    shares: list[dict[str, float]] = field(default_factory=list)  # for each step, the largest share in each part

    @property
    def passed(self) -> bool:
        """Whether nothing was beyond tolerance."""
        return self.first_beyond is None

    def add(self, step: int, measurements: list[Measurement]) -> None:
        """Take in a step. Of several tensors beyond tolerance the first is the one that was computed first."""
        shares: dict[str, float] = {}
        for found in measurements:
            if not found.in_range and self.passed:
                self.overflow = found
                break
            shares[found.part] = max(shares.get(found.part, 0.0), found.share)
            worst = self.worst.get(found.name)
            if worst is None or not found.share <= worst.share:
                self.worst[found.name] = found
            if found.beyond and self.first_beyond is None:
                self.first_beyond = found
        self.shares.append(shares)
        self.steps = step


def follow(
    build: Build,
    X: Any,
    y: Any,
    *,
    backend: str | Backend,
    dtype: str | None = None,
    steps: int = 100,
    batch_size: int | None = None,
    sample_weights: Any = None,
    class_weights: Any = None,
    judge: str | Backend = "cpu",
    stop_at_first: bool = False,
    on_step: Callable[[int], None] | None = None,
) -> Comparison:
    """Compare `backend` with a float64 judge over training steps that each begin from common parameters.

    `build(xp)` makes the model, with loss and optimizer, on the backend it is given; X and y, with weights as `Model.train`
    takes them, are what it is trained on. Without an optimizer there is no update to compare. Tolerances are those of
    `nnbackend.testing.tolerances`. The judge uses the reference ops in float64, unless it is a `Backend` with a mind of its
    own: two backends in float32 may be twice as far apart as one of them from the truth.

    >>> import nnbackend as nn
    >>> from nnbackend import parity
    >>> def build(xp):
    ...     layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()]
    ...     return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp, seed=0)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> parity.follow(build, X, y, backend="cpu", dtype="float32", steps=5).passed
    True
    """
    steps = count("steps", steps)
    xp = get_backend(backend, dtype)
    judging = judge if isinstance(judge, Backend) else get_backend(judge, "float64", "reference")
    pair = Pair(build, judging, xp, X, y, batch_size, Weights(sample_weights, class_weights))
    comparison = Comparison(xp, judging, pair.judge.kinds())
    for step in range(1, steps + 1):
        with np.errstate(over="ignore", invalid="ignore"):  # training may diverge
            comparison.add(step, list(pair.step(step)))
        if on_step is not None:
            on_step(step)
        if comparison.overflow or (stop_at_first and not comparison.passed):
            break
    return comparison


class Pair:
    """The judge and the side that is judged."""

    def __init__(
        self, build: Build, judge: Backend, xp: Backend, X: Any, y: Any, batch_size: int | None, weights: Weights
    ) -> None:
        X, y = rounded(X, xp), rounded(y, xp)
        self.judge, self.side = (Side(build, each, X, y, batch_size, weights) for each in (judge, xp))
        self.dtype = xp.dtype
        # In float64 the tolerances were measured with rounding on both sides.
        self.slack = 2.0 if judge.dtype == xp.dtype == np.float32 else 1.0

    def step(self, step: int) -> Iterator[Measurement]:
        """One step on both, and all measurements in the order of computation."""
        judge, side = self.judge, self.side
        start = judge.snapshot().rounded(self.dtype)
        for each in (judge, side):
            each.load(start)
        side.step()
        judge.forward()
        judge.backward()
        own = judge.gradients()
        yield from self._compare_forward(step)
        judge.take_over(side)
        judge.backward()
        yield from self._compare_backward(step)
        if not judge.learns:
            return
        judge.update(side.gradients())
        yield from self._compare_update(step, start)
        judge.unupdate(start)
        judge.update(own)

    def _compare_forward(self, step: int) -> Iterator[Measurement]:
        judge, side = self.judge, self.side
        for name in ("inputs", "targets"):
            taken, wanted = side.xp.to_host(getattr(side.batch, name)), judge.xp.to_host(getattr(judge.batch, name))
            exact = self._measure(taken, wanted, 0.0, None)
            yield Measurement(step, "forward", "batch", name, *exact)
        exact = self._measure(side.weights(), judge.weights(), tolerance("elementwise", self.dtype), None)
        yield Measurement(step, "forward", "batch", "weights", *exact)
        scales = output_scales(judge)
        for name in judge.layers:
            yield from self._compare_kept(step, "forward", name, "output", scales[name])
        n = len(judge.batch.targets)
        expected, found = judge.measured(), side.measured()
        passed_on = loss_scale(judge, scales)
        floor = LOSS_FLOOR_IN_EPS * eps(self.dtype) + self._complements()
        floor += tolerance("sum", self.dtype, passed_on.length) * passed_on.size
        floors = {"data_loss": floor, "regularization_loss": 0.0}
        for (name, floor), judged, value in zip(floors.items(), expected, found, strict=False):
            allowed = tolerance("loss", self.dtype, n) * abs(judged) + floor
            yield Measurement(step, "forward", "", name, *self._measure(value, judged, allowed, 1.0))
        yield from self._compare_ending(step)
        yield Measurement(step, "forward", "", "accuracy", *self._compare_accuracy(found[2], n))

    def _compare_ending(self, step: int) -> Iterator[Measurement]:
        """The last activation and the loss once more, from the inputs that the side's had: large sums are no excuse here."""
        judge, side = self.judge, self.side
        if judge.end_from(side):
            allowed, last = tolerance("elementwise", self.dtype), next(reversed(judge.layers))
            measured = self._measure(side.predictions(), judge.predictions(), allowed, None)
            yield Measurement(step, "forward", last, "output", *measured)
            value, judged = side.measured()[0], judge.measured()[0]
            allowed = tolerance("loss", self.dtype, len(judge.batch.targets)) * abs(judged)
            allowed += LOSS_FLOOR_IN_EPS * eps(self.dtype) + self._complements()
            yield Measurement(step, "forward", "", "data_loss", *self._measure(value, judged, allowed, 1.0))

    def _complements(self) -> float:
        """What is lost in a binary cross-entropy: it takes log(1 - p), and 1 - p is known to eps, whatever is left of it."""
        if type(self.judge.model.loss) is not BinaryCrossentropy:
            return 0.0
        left = np.maximum(1 - self.side.predictions(), CLIP)
        needed = self.judge.xp.to_host(self.judge.batch.targets) == 0
        return float(np.mean(self.judge.weights() * needed * eps(self.dtype) / left))

    def _compare_accuracy(self, found: float, n: int) -> tuple[float, float, float, bool]:
        """The side's accuracy against the judge's for the side's own predictions: ties are the same ties."""
        judge, accuracy = self.judge, self.judge.network.accuracy
        predictions = self.side.predictions()
        assert accuracy is not None
        with judge.xp.quiet(), judge.xp.op_scope:
            accuracy.measure(judge.xp.asarray(predictions), judge.batch.targets, out=judge.model.measured[2])
        exact = type(accuracy) in (CategoricalAccuracy, BinaryAccuracy)
        allowed = tolerance("elementwise", self.dtype) + (0.0 if exact else 1 / n)  # one may be at the precision's edge
        return self._measure(found, judge.measured()[2], allowed, 1.0)

    def _compare_backward(self, step: int) -> Iterator[Measurement]:
        judge, side = self.judge, self.side
        expected, found = judge.gradients(), side.gradients()
        scales = gradient_scales(judge)
        for name, layer in reversed(judge.layers.items()):
            for parameter in layer.parameters:
                key = f"{name}.{parameter}"
                scale = scales[name][parameter]
                allowed = tolerance("gradient", self.dtype, scale.length)
                measured = self._measure(found[key], expected[key], allowed, scale.size)
                yield Measurement(step, "backward", name, f"d{parameter}", *measured)
            yield from self._compare_kept(step, "backward", name, "dinputs", scales[name]["dinputs"])

    def _compare_update(self, step: int, start: Snapshot) -> Iterator[Measurement]:
        expected, found = self.judge.snapshot(), self.side.snapshot()
        yield from self._compare_named(step, "", expected.values, found.values, start.values, "update")
        for key, named in expected.state.items():
            yield from self._compare_named(step, f".{key}", named, found.state[key], start.state[key], "state")

    def _compare_named(
        self, step: int, suffix: str, expected: Named, found: Named, before: Named, quantity: str
    ) -> Iterator[Measurement]:
        for key, value in expected.items():
            layer, _, parameter = key.partition(".")
            scale = largest_element(before[key]) + largest_element(value)  # what is added to what, however it cancels
            measured = self._measure(found[key], value, tolerance(quantity, self.dtype), scale)
            yield Measurement(step, "update", layer, parameter + suffix, *measured)

    def _compare_kept(self, step: int, part: str, name: str, tensor: str, scale: Scale) -> Iterator[Measurement]:
        """What a layer keeps on both sides: a join leaves some out."""
        expected, found = self.judge.kept(name, tensor), self.side.kept(name, tensor)
        if expected is not None and found is not None:
            quantity = "output" if part == "forward" else "gradient"
            measured = self._measure(found, expected, tolerance(quantity, self.dtype, scale.length), scale.size)
            yield Measurement(step, part, name, tensor, *measured)

    def _measure(
        self, found: Any, expected: Any, allowed: float, scale: float | None
    ) -> tuple[float, float, float, bool]:
        """(relative, ulps, share of the tolerance, whether the dtype can hold it)"""
        gap, size = largest_difference(found, expected), largest_element(expected)
        allowed *= self.slack * (size if scale is None else scale)
        last_place = ulp(min(size, float(np.finfo(self.dtype).max) / 2), self.dtype)
        shares = [gap / each if each else (math.inf if gap else 0.0) for each in (size, last_place, allowed)]
        return shares[0], shares[1], shares[2], within_range(expected, self.dtype)


def rounded(data: Any, xp: Backend) -> Any:
    """Data that both sides can hold exactly: floating-point numbers in the side's dtype, others as they are."""
    data = np.asarray(data)
    return data.astype(xp.dtype) if data.dtype.kind == "f" else data
