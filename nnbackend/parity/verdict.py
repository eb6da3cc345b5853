"""Which side is wrong, where a comparison found something: the CPU is asked as a witness."""

from __future__ import annotations

from typing import Any

from ..backend import get_backend
from .follow import Comparison, follow
from .side import Build


def which_side(build: Build, X: Any, y: Any, found: Comparison, *, batch_size: int | None = None) -> str:
    """A sentence that says who is wrong at the first difference of a comparison (made with the same arguments).

    The CPU repeats the steps up to there in the same dtype with the reference ops. If it agrees with the judge, then
    the backend is wrong, or one of its kernels; if it is off in the same place, both use what is wrong.
    """
    first, dtype = found.first_beyond, found.backend.dtype.name
    assert first is not None, "there is no difference to explain"
    witness = follow(
        build,
        X,
        y,
        backend=get_backend("cpu", dtype, "reference"),
        steps=first.step,
        batch_size=batch_size,
        judge=found.judge,
    )
    name, same = found.backend.name, f"the CPU with the reference operations in {dtype}"
    if witness.passed:
        kernels = (
            "" if found.backend.kernels == "reference" else "; if --kernels reference passes, it is one of its kernels"
        )
        return f"Backend {name!r} is wrong there: {same} agrees with the judge{kernels}."
    return (
        f"Neither does {same} agree with the judge ({witness.first_beyond}): look for the fault in what both sides share, "
        "the layer or the reference operation, or in the judge."
    )
