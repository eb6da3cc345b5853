"""Which side is wrong, where a comparison found something: float64 on the CPU judges, and the CPU is asked as a witness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import Backend, get_backend
from .follow import Comparison, follow
from .side import Build, called

# The steps up to the first difference once more: of a backend, against a judge.
Repeat = Callable[[Backend, Backend], Comparison]


def which_side(
    build: Build,
    X: Any,
    y: Any,
    found: Comparison,
    *,
    batch_size: int | None = None,
    sample_weights: Any = None,
    class_weights: Any = None,
) -> str:
    """A sentence that says who is wrong at the first difference of a comparison (made with the same arguments).

    Where the judge was the CPU in float64 with the reference ops, the CPU repeats the steps up to there in the
    other side's dtype. If it agrees with the judge, then the backend is wrong, or one of its kernels; if it is off in the
    same place, both use what is wrong. Where two other backends were compared, that judge is asked about each.

    >>> import nnbackend as nn
    >>> from nnbackend import parity
    >>> class Careless(nn.ReLU):
    ...     def forward(self, inputs, *, training=False):
    ...         output = super().forward(inputs, training=training)
    ...         if self.xp.name == "strict":
    ...             self.xp.multiply(output, 1.001, out=output)
    ...         return output
    >>> def build(xp):
    ...     layers = [nn.Dense(2, 8), Careless(), nn.Dense(8, 3), nn.Softmax()]
    ...     return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), backend=xp, seed=0)
    >>> X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    >>> found = parity.follow(build, X, y, backend="strict", dtype="float32", steps=1)
    >>> found.first_beyond.name
    'careless_1.output'
    >>> parity.which_side(build, X, y, found).split(":")[0]
    "Backend 'strict' is wrong there"
    """
    assert found.first_beyond is not None, "there is no difference to explain"
    same: dict[str, Any] = {"batch_size": batch_size, "sample_weights": sample_weights, "class_weights": class_weights}
    steps = found.first_beyond.step

    def repeat(backend: Backend, judge: Backend) -> Comparison:
        return follow(build, X, y, backend=backend, judge=judge, steps=steps, **same)

    judge = get_backend("cpu", "float64", "reference")
    if found.judge is not judge:
        return _one_of_two(found, judge, repeat)
    dtype = found.backend.dtype.name
    witness = repeat(get_backend("cpu", dtype, "reference"), judge)
    name, reference = found.backend.name, f"the CPU with the reference operations in {dtype}"
    if witness.passed:
        kernels = (
            "" if found.backend.kernels == "reference" else "; if --kernels reference passes, it is one of its kernels"
        )
        return f"Backend {name!r} is wrong there: {reference} agrees with the judge{kernels}."
    return (
        f"Neither does {reference} agree with the judge ({witness.first_beyond}): look for the fault in what both sides share, "
        "the layer or the reference operation, or in the judge."
    )


def _one_of_two(found: Comparison, judge: Backend, repeat: Repeat) -> str:
    """Which of two backends does not agree with a judge beside them."""
    asked = [(called(xp), repeat(xp, judge)) for xp in (found.backend, found.judge)]
    wrong = [(name, comparison.first_beyond) for name, comparison in asked if not comparison.passed]
    by_judge = "By the float64 judge"
    if not wrong:
        return f"{by_judge} neither is wrong up to there: they are off in opposite directions, each by no more than rounding."
    places = "; ".join(f"{name}: {first}" for name, first in wrong)
    if len(wrong) == 1:
        return f"{by_judge}, {wrong[0][0]} is wrong ({places}), and the other is right."
    return f"{by_judge}, both are wrong ({places}): look for the fault in what both use, the layer or the operation."
