"""What a model takes of memory, and the sentence where that is more than there is: with a batch size that fits.

    fixed        parameters, their gradients and the optimizer's state: taken when the model is built
    data         inputs and targets, where they are brought in as a whole, and the order of an epoch
    per sample   of a batch: what layers keep of it on the way forward and, in training, on the way back

`train`, `evaluate` and `predict` go through `explains_memory`, which costs nothing as long as memory suffices.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from .activations import Linear
from .backend.memory import in_words
from .errors import ArgumentError, OutOfMemoryError
from .layers import Dropout
from .losses import CategoricalCrossentropy
from .streams import STREAMED_BATCH, HostRows, rows_to_stream

if TYPE_CHECKING:
    from .model import Model

Method = TypeVar("Method", bound=Callable[..., Any])

# Beside what layers keep, an op may need this many arrays of its widest layer's shape for a moment.
MOMENTARY = 2

# The share of what is free that a batch size may fill: allocators round up, and memory comes in pieces.
SHARE = 0.9

TRAINING, EVALUATING, PREDICTING = "training on", "evaluating", "predicting"


class Footprint(NamedTuple):
    """Bytes beside the parameters: for all data, and for each sample of a batch."""

    data: int
    sample: int


def numbers_per_sample(model: Model, n_features: int, *, training: bool) -> int:
    """How many numbers layers keep of each sample of a batch, by their widths; a layer of one's own is taken for a usual one.

    >>> import nnbackend as nn
    >>> from nnbackend.footprint import numbers_per_sample
    >>> model = nn.Model([nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 3)])
    >>> numbers_per_sample(model, 2, training=False)  # what ReLU and the second Dense give
    67
    """
    ending = model.built.ending  # which also says what layers leave out
    total, width = 0, n_features
    for layer in model.layers:
        outputs = layer.n_outputs or width
        if type(layer) is not Linear and (training or type(layer) is not Dropout):  # these hand on what they are given
            total += 0 if layer.leaves_out("output") else outputs
            total += 0 if layer.leaves_out("dinputs") or not training else width
            total += width if type(layer) is Dropout else 0  # its mask
        width = outputs
    if training and ending is not None and not ending.is_joined:
        total += width  # the gradient that the loss begins with
    return total


def footprint(model: Model, doing: str, X: Any, batch_size: int | None, *, stream: bool | None) -> Footprint:
    """What work on these data takes, beside the parameters."""
    n, n_features = len(X), model.n_inputs or X.shape[1]
    number, index = model.xp.dtype.itemsize, model.xp.index_dtype.itemsize
    widths = [layer.n_outputs or 0 for layer in model.layers]
    of_layers = numbers_per_sample(model, n_features, training=doing == TRAINING) + MOMENTARY * max(n_features, *widths)
    of_inputs = n_features * number
    of_targets = index if isinstance(model.loss, CategoricalCrossentropy) else (model.n_outputs or n_features) * number
    if doing == PREDICTING:
        of_targets = 0
    streamed = rows_to_stream(model.xp, X, stream) is not None
    resident = model.xp.is_array(X) and X.dtype == model.xp.dtype
    data = 0 if streamed else n * (of_targets + (0 if resident else of_inputs))
    sample = of_layers * number
    if streamed:
        sample += 2 * (of_inputs + of_targets)
    elif doing != PREDICTING and batch_size is not None and batch_size < n:
        data += n * index
        sample += of_inputs + of_targets + 2 * index
    return Footprint(data, sample)


def explains_memory(doing: str) -> Callable[[Method], Method]:
    """A method of a model that works on X: where memory does not suffice, its error says what was needed and what would fit."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def run(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, X, *args, **kwargs)
            except Exception as error:
                if not self.xp.is_out_of_memory(error):
                    raise
                if self._built is None or not self._built.is_current():  # it could not be built
                    if isinstance(error, OutOfMemoryError):
                        raise
                    raise OutOfMemoryError(
                        f"the first values of the parameters need more memory than backend {self.xp.name!r} and the host have; "
                        "use smaller layers"
                    ) from None
            # The error is gone, and what its frames held: only now does one see what is free.
            raise too_much(self, doing, X, kwargs.get("batch_size"), stream=kwargs.get("stream"))

        return cast("Method", run)

    return decorate


def too_much(model: Model, doing: str, X: Any, batch_size: int | None, *, stream: bool | None) -> OutOfMemoryError:
    """The error for work that does not fit; what layers hold of the attempt is let go."""
    xp = model.xp
    model.built.let_go()
    gc.collect()  # a run and its steps refer to each other
    free, n = xp.free_memory(), len(X)
    streamed = isinstance(X, HostRows) or rows_to_stream(xp, X, stream) is not None
    size = min(batch_size or (STREAMED_BATCH if streamed else n), n)
    takes = footprint(model, doing, X, size, stream=stream)
    needed = takes.data + size * takes.sample
    fits = None if free is None else fitting(takes, free, size)
    share = f", {in_words(takes.data)} of it for the data" if takes.data > needed // 100 else ""
    start = (
        f"{doing} {size:,} sample{'s' if size > 1 else ''} at a time takes about {in_words(needed)}{share} on backend "
        f"{xp.name!r}"
    )
    there = "and there is less" if free is None else f"and {in_words(free)} are free"
    if free is not None and needed <= free:
        there = f"and the system gives less, though it says that {in_words(free)} are free"
        fits = size // 2
    advice, fits = _advice(model, takes, free, fits if fits is not None else size // 2, X)
    return OutOfMemoryError(f"{start}, {there}: {advice}", needed=needed, free=free, batch_size=fits)


def fitting(takes: Footprint, free: int, size: int) -> int:
    """The largest batch size below `size` that fits into what is free, a power of two; 0 if none does.

    >>> fitting(Footprint(data=1000, sample=10), free=2000, size=500)
    64
    """
    most = min(int((free * SHARE - takes.data) // takes.sample), size - 1)
    return 1 << (most.bit_length() - 1) if most > 0 else 0


def _advice(model: Model, takes: Footprint, free: int | None, fits: int, X: Any) -> tuple[str, int | None]:
    """What to do, and the batch size in it."""
    if fits:
        return f"use batch_size={fits} or less", fits
    if free is None or takes.data <= free * SHARE:
        return "not even one sample fits; use smaller layers", None
    try:
        rows_to_stream(model.xp, X, True)
    except ArgumentError:
        return "the data alone are too many; use fewer", None
    return "the data alone are too many; leave them on the host, with stream=True and batch_size=128, or use fewer", 128
