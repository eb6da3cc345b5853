"""Two backends that run freely from the same beginning: where chaos takes over, and whether it is chaos.

Training is chaotic: a difference of one rounding grows tenfold every so many steps until nothing is common but the
neighbourhood the runs end in. So runs that part prove nothing by that. What tells rounding from a fault is a third run,
the control: the judge once more, with its gradients disturbed in every step as rounding disturbs them, by some eps of
what was summed, and its parameters by an eps of theirs. A side without a fault parts from the judge no faster than the
control does. Once the control has parted from the judge, nothing more can be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import Backend, get_backend
from ..checks import count
from ..errors import StateError
from ..testing.tolerances import difference, eps, largest_difference, largest_element, tolerance
from ..weights import Weights
from .follow import rounded
from .scales import gradient_scales
from .side import Build, Named, Side, Snapshot, called

# The loss as it is printed differs.
PARTED = 1e-3

# The control is disturbed by 4 eps of what was summed; correct programs have been seen to be off by 9, and by less on the
# way through the layers.
MARGIN = 10.0


@dataclass
class Divergence:
    """How far a side and the control were from the judge, step by step.

    `loss` and `control_loss` are relative differences of the data loss, `parameters` and `control_parameters` of all
    parameters, relative to the largest.
    """

    backend: Backend
    judge: Backend
    loss: list[float] = field(default_factory=list)
    parameters: list[float] = field(default_factory=list)
    control_loss: list[float] = field(default_factory=list)
    control_parameters: list[float] = field(default_factory=list)
    overflow_at: int | None = (
        None  # the step whose values the dtype cannot hold: training diverges, the runs end before
    )

    @property
    def judge_called(self) -> str:
        """The judge, or the backend that stands in its place."""
        exact = self.judge.kernels == "reference" and self.judge.dtype == np.float64
        return "the judge" if exact else called(self.judge)

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return len(self.loss)

    @property
    def parted_at(self) -> int | None:
        """The first step whose loss, as it is printed, differs from the judge's."""
        return _first(self.loss, lambda step, value: not value <= PARTED)

    @property
    def control_parted_at(self) -> int | None:
        """The same of the control."""
        return _first(self.control_loss, lambda step, value: not value <= PARTED)

    @property
    def beyond_at(self) -> int | None:
        """The first step at which the side was further from the judge than the control had ever been, by far.

        Steps after the control has parted do not count: there any two runs may be any distance from each other.
        """
        allowed = np.maximum.accumulate(self.control_parameters) * MARGIN
        told = self.parameters[: self.control_parted_at]
        return _first(told, lambda step, value: not value <= allowed[step - 1])

    @property
    def passed(self) -> bool:
        """Whether the runs part as rounding makes them part."""
        return self.beyond_at is None

    @property
    def tenfold_in(self) -> float | None:
        """In how many steps the difference of the parameters grows tenfold, before it is as large as they are."""
        begin = 10 * float(np.median(self.parameters[:10]))
        growing = [(step, math.log10(value)) for step, value in enumerate(self.parameters, 1) if begin < value < 1e-2]
        if not begin or len(growing) < 10 or growing[-1][1] - growing[0][1] < 1:
            return None
        steps, logarithms = np.array(growing).T
        return float(1 / np.polyfit(steps, logarithms, 1)[0])

    def verdict(self) -> str:
        """What this means, in a sentence or two."""
        judge = self.judge_called
        if self.beyond_at is not None:
            return (
                f"Backend {self.backend.name!r} parts from {judge} faster than rounding explains, from step "
                f"{self.beyond_at} on. That is no chaos: the comparison step by step (without --free) finds the operation."
            )
        if self.overflow_at is not None:
            return (
                f"At step {self.overflow_at} the training diverges: {self.backend.dtype} cannot hold its values any more. "
                "Up to there the runs part no faster than rounding explains."
            )
        if not any(self.parameters):
            return f"The runs are the same to the bit for {self.steps} steps."
        growth = (
            ""
            if self.tenfold_in is None
            else f", and their difference grows tenfold in about {self.tenfold_in:.0f} steps"
        )
        if self.parted_at is None:
            return f"The losses agree to {PARTED:g} for all {self.steps} steps; rounding has not grown further yet{growth}."
        control = self.control_parted_at
        when = "does not by then" if control is None else f"parts from itself at step {control}"
        return (
            f"Chaos takes over at step {self.parted_at}: from there on the losses differ by more than {PARTED:g}{growth}. "
            f"That is what rounding does to any two programs here, and no fault: {judge}, disturbed by rounding, {when}."
        )


def free(
    build: Build,
    X: Any,
    y: Any,
    *,
    backend: str | Backend,
    dtype: str | None = None,
    steps: int = 400,
    batch_size: int | None = None,
    sample_weights: Any = None,
    class_weights: Any = None,
    judge: str | Backend = "cpu",
    on_step: Callable[[int], None] | None = None,
) -> Divergence:
    """Let `backend` and a float64 judge run from the same parameters, and measure how they part.

    Arguments as for `follow`; the model needs an optimizer, or `StateError`.

    >>> import nnbackend as nn
    >>> from nnbackend import parity
    >>> def build(xp):
    ...     layers = [nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 3), nn.Softmax()]
    ...     return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp, seed=0)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> parity.free(build, X, y, backend="cpu", dtype="float32", steps=5).passed
    True
    """
    steps = count("steps", steps)
    xp = get_backend(backend, dtype)
    judging = judge if isinstance(judge, Backend) else get_backend(judge, "float64", "reference")
    X, y = rounded(X, xp), rounded(y, xp)
    weights = Weights(sample_weights, class_weights)
    judged, side, control = (Side(build, each, X, y, batch_size, weights) for each in (judging, xp, judging))
    if not side.learns:
        raise StateError("the model has no optimizer, so it stays where it is: compare it step by step instead")
    start = judged.snapshot().rounded(xp.dtype)
    for each in (judged, side, control):
        each.load(start)
    divergence, rng = Divergence(xp, judging), np.random.default_rng(0)
    for step in range(1, steps + 1):
        judged.step()
        side.step()
        if judged.overflows(xp.dtype):
            divergence.overflow_at = step
            break
        with np.errstate(over="ignore", invalid="ignore"):  # the control may diverge
            _disturbed_step(control, xp.dtype, rng)
            _measure(divergence, judged, side, control)
        if on_step is not None:
            on_step(step)
    return divergence


def _disturbed_step(control: Side, dtype: np.dtype, rng: np.random.Generator) -> None:
    """A step whose gradients are off by up to what rounding in `dtype` explains, and each new parameter by up to an eps."""
    control.forward()
    control.backward()
    scales, gradients = gradient_scales(control), control.gradients()
    for name, gradient in gradients.items():
        layer, _, parameter = name.partition(".")
        scale = scales[layer][parameter]
        noise = scale.size * tolerance("gradient", dtype)
        gradients[name] = gradient + noise * rng.uniform(-1, 1, gradient.shape)
    control.update(gradients)
    after = control.snapshot()
    off = {name: value * eps(dtype) * rng.uniform(-1, 1, value.shape) for name, value in after.values.items()}
    control.load(Snapshot({name: value + off[name] for name, value in after.values.items()}, after.state))


def _measure(divergence: Divergence, judged: Side, side: Side, control: Side) -> None:
    loss, values = judged.measured()[0], judged.snapshot().values
    divergence.loss.append(difference(side.measured()[0], loss))
    divergence.control_loss.append(difference(control.measured()[0], loss))
    divergence.parameters.append(_apart(side.snapshot().values, values))
    divergence.control_parameters.append(_apart(control.snapshot().values, values))


def _apart(found: Named, expected: Named) -> float:
    """The largest difference of all parameters, relative to the largest parameter."""
    gap = max(largest_difference(found[name], value) for name, value in expected.items())
    return gap / max(largest_element(value) for value in expected.values())


def _first(values: Sequence[float], condition: Callable[[int, float], bool]) -> int | None:
    return next((step for step, value in enumerate(values, 1) if condition(step, value)), None)
