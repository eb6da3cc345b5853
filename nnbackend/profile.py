"""Where the time of a training step goes: op by op, and by layer.

>>> import nnbackend as nn
>>> from nnbackend.profile import by_layer, profile_step
>>> X, y = nn.datasets.spiral(samples=100, classes=3, seed=0)
>>> model = nn.Model([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()],
...                  loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), seed=0)
>>> rows = profile_step(model, X, y, repeats=3)
>>> [(row.phase, row.layer, row.op) for row in rows[:2]]
[('forward', 'dense_1', 'dense_relu'), ('forward', 'dense_2', 'dense')]
>>> [row.layer for row in by_layer(rows) if row.phase == "update"]
['optimizer']
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .backend import Backend
from .backend.dispatch import Call, Tape
from .batches import Batches, check_batch_size
from .checks import count
from .parameters import layer_names

if TYPE_CHECKING:
    from .model import Model
    from .network import Network


class OpTime(NamedTuple):
    """One op of a training step, or several of a layer's."""

    phase: str  # "batch" (gathering the samples), "forward", "backward" or "update"
    layer: str  # such as "dense_1"; or "loss", "accuracy", "penalty", "optimizer", "batch"
    op: str  # the op's name; of several, all names
    implementation: str  # "reference", or what runs instead
    seconds: float  # the median over the repeats
    share: float  # of the sum of all ops


def profile_step(model: Model, X: Any, y: Any, *, batch_size: int | None = None, repeats: int = 100) -> list[OpTime]:
    """The ops of a training step in order, each with its time; `model` itself is not trained.

    A step on the first `batch_size` samples (None: all) is written down op by op and then run `repeats` times, with a look
    at the clock between ops. Run one by one, an op costs up to a microsecond more for the call; a step that is replayed
    joins CPU kernels into few calls, which threads share, and takes less than the sum. Layers of one's own that compute with `xp`
    directly have no ops to show.

    Raises `StateError` for a model without loss or optimizer, and `DataError` for data that do not fit.
    """
    count("repeats", repeats)
    model = copy.deepcopy(model)
    model.finalize()
    built, xp = model.built, model.xp
    built.need(loss=True, optimizer=True)
    inputs, targets = built.prepare(X, y, for_training=True)
    batches = Batches(xp, inputs, targets, check_batch_size(batch_size, len(inputs)))
    with built.computing(batches.sizes[0]):
        calls = list(_record(model, batches))
        times = _measure(xp, [call for _, call in calls], batches, repeats)
    owners = _Owners(built)
    total = sum(times) or 1.0
    return [
        OpTime(phase, owners.of(phase, call), call.name, _implementation(call), seconds, seconds / total)
        for (phase, call), seconds in zip(calls, times, strict=True)
    ]


def by_layer(rows: Iterable[OpTime]) -> list[OpTime]:
    """The same by phase and layer, in the order in which they are first met."""
    joined: dict[tuple[str, str], OpTime] = {}
    for row in rows:
        known = joined.get((row.phase, row.layer))
        if known is not None:
            row = row._replace(
                op=known.op if row.op in known.op.split(", ") else f"{known.op}, {row.op}",
                implementation=row.implementation if row.implementation == known.implementation else "mixed",
                seconds=known.seconds + row.seconds,
                share=known.share + row.share,
            )
        joined[row.phase, row.layer] = row
    return list(joined.values())


def _record(model: Model, batches: Batches) -> Iterator[tuple[str, Call]]:
    """Run a training step phase by phase, and give its ops."""
    built = model.built
    batch = batches.batch(batches.sizes[0])
    for phase, work in built.training_step(batch).items():
        tape = model.xp.tape = Tape()
        try:
            work()
        finally:
            model.xp.tape = None
        yield from ((phase, call) for call in tape.calls)


def _measure(xp: Backend, calls: list[Call], batches: Batches, repeats: int) -> list[float]:
    """The median time of each call."""
    parts = [call.link([call]) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        batches.start_epoch()
        xp.synchronize()
        before = time.perf_counter()
        for runs, taken in zip(parts, times, strict=True):
            for run in runs:
                run()
            xp.synchronize()
            after = time.perf_counter()
            taken.append(after - before)
            before = after
    return [statistics.median(taken) for taken in times]


def _implementation(call: Call) -> str:
    """What runs: the reference is a partial of the function of that name in nnbackend.ops."""
    return "reference" if hasattr(call.function, "func") else "kernel"


class _Owners:
    """Which layer an op works for: the one whose parameters it uses, else the one whose array it writes, else reads."""

    def __init__(self, built: Network) -> None:
        model = built.model
        names = layer_names(model.layers)
        self._parameters = [
            (name, array)
            for name, layer in zip(names, model.layers, strict=True)
            for parameter in layer.parameters.values()
            for array in (parameter.value, parameter.grad)
        ]
        losses = [part for part in (built.loss, getattr(built.ending, "joined", None)) if part is not None]
        parts = [*(("loss", loss) for loss in losses), *zip(names, model.layers, strict=True)]
        self._buffers = [(name, array) for name, part in parts for array in _buffers(part)]
        self._measured = list(zip(("loss", "penalty", "accuracy"), built.measured, strict=False))

    def of(self, phase: str, call: Call) -> str:
        """The name for the table."""
        if phase == "batch":
            return "batch"
        if phase == "update":
            return "optimizer"
        written = [*_arrays((call.kwargs.get("out"), call.kwargs.get("state")))]
        used = [*_arrays(call.args), *written]
        for owned, arrays in ((self._parameters, used), (self._measured, written), (self._buffers, used[::-1])):
            for array in arrays:
                for name, other in owned:
                    # all parameters share one memory; what a layer keeps may be views of its buffers
                    if array is other or (owned is self._buffers and _base(array) is _base(other)):
                        return name
        return ""


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _arrays(part)
    elif hasattr(value, "shape"):
        yield value


def _buffers(part: Any) -> Iterator[Any]:
    """The arrays that a layer or a loss made; `inputs` is the layer's before."""
    kept = (value for name, value in vars(part).items() if name != "inputs")
    space = part._workspace
    buffers = () if space is None else (*space._views.values(), *space._memory.values())
    yield from (array for array in (*kept, *buffers) if hasattr(array, "shape"))


def _base(array: Any) -> Any:
    """The array whose memory a view looks at."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array
