"""The CUDA kernels as overrides: which arguments each takes, and what it is launched with.

A method of `Kernels` does what the op of its name does. Grids are those of `grids.py`. Matrix products are no kernels of
ours: they come from `products.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..override import Override
from .compile import Module
from .grids import SUM_THREADS, THREADS, Launches, blocks_for, row_grid, row_width
from .layout import DOUBLE, INTEGER, NUMBER, Kinds, accepts, int64, real
from .products import ArrayProducts, Products

MEASURED = 8  # numbers that `record` takes


def overriding(*positional: Kinds, **named: Kinds) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method as the override of the op of its name, for arguments of these kinds."""
    return overriding_if(accepts(*positional, **named))


def overriding_if(test: Callable[..., bool]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a method as the override of the op of its name, for arguments that pass the test."""

    def mark(method: Callable[..., Any]) -> Callable[..., Any]:
        method.accepts = test  # type: ignore[attr-defined]
        return method

    return mark


class Kernels(Launches):
    """The ops of nnbackend.ops that have a CUDA kernel. The equations are there."""

    def __init__(self, namespace: Any, module: Module, products: Products | None = None) -> None:
        super().__init__(namespace, module)
        self._multiply = (products or ArrayProducts(namespace)).multiply

    def overrides(self) -> dict[str, Sequence[Override]]:
        """For each op the override to try."""
        marked = {name: method for name, method in vars(type(self)).items() if hasattr(method, "accepts")}
        return {name: [Override(getattr(self, name), m.accepts, proved=False)] for name, m in marked.items()}

    # -- layers and activations -------------------------------------------------------------------------------------

    @overriding(real("n", "k"), real("k", "m"), real(1, "m"), out=real("n", "m"))
    def dense(self, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
        self._multiply(inputs, weights, out=out)
        self._rows("bias_add", (biases,), out.shape, (out,))
        return out

    @overriding(real("n", "k"), real("k", "m"), real(1, "m"), out=real("n", "m"))
    def dense_relu(self, inputs: Any, weights: Any, biases: Any, *, out: Any) -> Any:
        self._multiply(inputs, weights, out=out)
        self._rows("bias_relu", (biases,), out.shape, (out,))
        return out

    @overriding(real("n", "k"), real("n", "m"), out=real("k", "m"))
    def weights_gradient(self, inputs: Any, dvalues: Any, *, out: Any) -> Any:
        return self._multiply(inputs, dvalues, out=out, left_transposed=True)

    @overriding(real("n", "m"), real("k", "m"), out=real("n", "k"))
    def inputs_gradient(self, dvalues: Any, weights: Any, *, out: Any) -> Any:
        return self._multiply(dvalues, weights, out=out, right_transposed=True)

    @overriding(real("n", "m"), out=real(1, "m"))
    def biases_gradient(self, dvalues: Any, *, out: Any) -> Any:
        self._columns("column_sums", (dvalues,), dvalues.shape, (), out)
        return out

    @overriding(real(...), real(...), out=real(...))
    def relu_backward(self, dvalues: Any, output: Any, *, out: Any) -> Any:
        self._each("relu_backward", (dvalues, output), out.size, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=(real("n", "m"), real(1, "m")))
    def relu_biases_gradient(self, dvalues: Any, output: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
        dlinear, dbiases = out
        self._columns("relu_column_sums", (dvalues, output), dvalues.shape, (dlinear,), dbiases)
        return out

    @overriding(real(...), out=real(...))
    def sigmoid(self, inputs: Any, *, out: Any) -> Any:
        self._each("sigmoid", (inputs,), out.size, (out,))
        return out

    @overriding(real(...), real(...), out=real(...))
    def sigmoid_backward(self, dvalues: Any, output: Any, *, out: Any) -> Any:
        self._each("sigmoid_backward", (dvalues, output), out.size, (out,))
        return out

    @overriding(real("n", "m"), out=real("n", "m"))
    def softmax(self, inputs: Any, *, out: Any) -> Any:
        self._rows("softmax", (inputs,), out.shape, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=real("n", "m"))
    def softmax_backward(self, dvalues: Any, output: Any, *, out: Any) -> Any:
        self._rows("softmax_backward", (dvalues, output), out.shape, (out,))
        return out

    @overriding(real(...), INTEGER, out=(real(...), real(...)))
    def dropout(
        self, inputs: Any, step: Any, *, rate: float, key: int, stream: int, out: tuple[Any, Any]
    ) -> tuple[Any, Any]:
        settings = key, stream, round(rate * 2**32), 1 / (1 - rate)
        self._each("dropout", (inputs, step, *settings), inputs.size, out, per_thread=4)
        return out

    def random_words(self, count: int, *, key: int, stream: int, step: Any, first: int = 0) -> Any:
        """The words of `nnbackend.rng.random_words`, from block `first` of four on."""
        out = self._namespace.empty(count, dtype="uint64")
        self._each("random_words", (step, key, stream, first), count, (out,), per_thread=4)
        return out

    # -- losses -----------------------------------------------------------------------------------------------------

    @overriding(real("n", "m"), int64("n"), out=real("n"))
    def categorical_crossentropy(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        rows, columns = predictions.shape
        self._each("categorical_crossentropy", (predictions, targets, columns), rows, (out,))
        return out

    @overriding(real("n", "m"), int64("n"), out=real("n", "m"))
    def categorical_crossentropy_backward(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._rows("categorical_crossentropy_backward", (predictions, targets), out.shape, (out,))
        return out

    @overriding(real("n", "m"), int64("n"), out=(real("n", "m"), real("n")))
    def softmax_crossentropy(self, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
        self._rows("softmax_crossentropy", (inputs, targets), inputs.shape, out)
        return out

    @overriding(real("n", "m"), int64("n"), out=real("n", "m"))
    def softmax_crossentropy_backward(self, probabilities: Any, targets: Any, *, out: Any) -> Any:
        self._rows("softmax_crossentropy_backward", (probabilities, targets), out.shape, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=real("n"))
    def binary_crossentropy(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._rows("binary_crossentropy", (predictions, targets), predictions.shape, (out,))
        return out

    @overriding(real(...), real(...), out=real(...))
    def binary_crossentropy_backward(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._each("binary_crossentropy_backward", (predictions, targets), out.size, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=(real("n", "m"), real("n")))
    def sigmoid_crossentropy(self, inputs: Any, targets: Any, *, out: tuple[Any, Any]) -> tuple[Any, Any]:
        self._rows("sigmoid_crossentropy", (inputs, targets), inputs.shape, out)
        return out

    @overriding(real(...), real(...), out=real(...))
    def sigmoid_crossentropy_backward(self, probabilities: Any, targets: Any, *, out: Any) -> Any:
        self._each("sigmoid_crossentropy_backward", (probabilities, targets), out.size, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=real("n"))
    def mean_squared_error(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._rows("mean_squared_error", (predictions, targets), predictions.shape, (out,))
        return out

    @overriding(real(...), real(...), out=real(...))
    def mean_squared_error_backward(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        factor = 2 / max(out.size, 1)
        self._each("mean_squared_error_backward", (predictions, targets, factor), out.size, (out,))
        return out

    @overriding(real("n", "m"), real("n", "m"), out=real("n"))
    def mean_absolute_error(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._rows("mean_absolute_error", (predictions, targets), predictions.shape, (out,))
        return out

    @overriding(real(...), real(...), out=real(...))
    def mean_absolute_error_backward(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        self._each("mean_absolute_error_backward", (predictions, targets), out.size, (out,))
        return out

    @overriding(real(...), out=NUMBER)
    def mean(self, values: Any, *, out: Any) -> Any:
        parts, count, blocks = values, values.size, blocks_for(values.size)
        if blocks > 1:
            parts, count = self._namespace.empty(blocks, dtype=values.dtype), blocks
            self._launch("partial_sums", (blocks,), (SUM_THREADS,), values, values.size, parts)
        self._launch("mean", (1,), (SUM_THREADS,), parts, count, values.size, out)
        return out

    # -- penalties --------------------------------------------------------------------------------------------------

    @overriding(real(...), state=NUMBER)
    def penalty(self, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
        blocks = blocks_for(parameters.size)
        parts = self._namespace.empty(2 * blocks, dtype=parameters.dtype) if blocks > 1 else None
        self._launch("penalty", (blocks,), (SUM_THREADS,), parameters, l1, l2, parameters.size, parts, state)
        if blocks > 1:
            self._launch("penalty_end", (1,), (SUM_THREADS,), parts, l1, l2, blocks, state)
        return state

    @overriding(real(...), state=real(...))
    def penalty_gradient(self, parameters: Any, *, l1: float, l2: float, state: Any) -> Any:
        self._each("penalty_gradient", (parameters, l1, l2, 2 * l2), parameters.size, (state,))
        return state

    # -- accuracies -------------------------------------------------------------------------------------------------

    @overriding(real("n", "m"), int64("n"), out=NUMBER)
    def categorical_accuracy(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        rows, columns = predictions.shape
        width = row_width(columns)
        blocks = blocks_for(rows * width, THREADS)
        sizes = rows, columns, width
        self._accuracy("categorical_accuracy", (predictions, targets, *sizes), blocks, THREADS, rows, out)
        return out

    @overriding(real(...), real(...), out=NUMBER)
    def binary_accuracy(self, predictions: Any, targets: Any, *, out: Any) -> Any:
        size = predictions.size
        self._accuracy("binary_accuracy", (predictions, targets, size), blocks_for(size), SUM_THREADS, size, out)
        return out

    @overriding(real(...), real(...), NUMBER, out=NUMBER)
    def regression_accuracy(self, predictions: Any, targets: Any, precision: Any, *, out: Any) -> Any:
        size = predictions.size
        inputs = predictions, targets, precision, size
        self._accuracy("regression_accuracy", inputs, blocks_for(size), SUM_THREADS, size, out)
        return out

    @overriding(real("n", "m"), out=int64("n"))
    def labels_from_one_hot(self, one_hot: Any, *, out: Any) -> Any:
        self._rows("labels_from_one_hot", (one_hot,), one_hot.shape, (out,))
        return out

    # -- optimizers -------------------------------------------------------------------------------------------------

    @overriding(DOUBLE, DOUBLE, INTEGER, out=DOUBLE)
    def decayed_learning_rate(self, learning_rate: Any, decay: Any, iterations: Any, *, out: Any) -> Any:
        self._launch("decayed_learning_rate", (1,), (1,), learning_rate, decay, iterations, out, dtype=None)
        return out

    @overriding(DOUBLE, INTEGER, out=(NUMBER, NUMBER))
    def adam_step_sizes(
        self, learning_rate: Any, iterations: Any, *, beta_1: float, beta_2: float, out: tuple[Any, Any]
    ) -> tuple[Any, Any]:
        args = learning_rate, iterations, beta_1, beta_2, *out
        self._launch("adam_step_sizes", (1,), (1,), *args, dtype=out[0].dtype.name)
        return out

    @overriding(real(...), NUMBER, state=(real(...),))
    def sgd(self, grads: Any, learning_rate: Any, *, state: Any) -> Any:
        self._each("sgd", (grads, learning_rate), grads.size, state)
        return state

    @overriding(real(...), NUMBER, state=(real(...), real(...)))
    def sgd_momentum(self, grads: Any, learning_rate: Any, *, momentum: float, state: Any) -> Any:
        self._each("sgd_momentum", (grads, learning_rate, momentum), grads.size, state)
        return state

    @overriding(real(...), NUMBER, state=(real(...), real(...)))
    def adagrad(self, grads: Any, learning_rate: Any, *, epsilon: float, state: Any) -> Any:
        self._each("adagrad", (grads, learning_rate, epsilon), grads.size, state)
        return state

    @overriding(real(...), NUMBER, state=(real(...), real(...)))
    def rmsprop(self, grads: Any, learning_rate: Any, *, rho: float, epsilon: float, state: Any) -> Any:
        self._each("rmsprop", (grads, learning_rate, rho, 1 - rho, epsilon), grads.size, state)
        return state

    @overriding(real(...), (NUMBER, NUMBER), state=(real(...), real(...), real(...)))
    def adam(self, grads: Any, step_sizes: Any, *, beta_1: float, beta_2: float, epsilon: float, state: Any) -> Any:
        settings = beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon
        self._each("adam", (grads, *step_sizes, *settings), grads.size, state)
        return state

    @overriding(real(...), NUMBER, (NUMBER, NUMBER), state=(real(...), real(...), real(...)))
    def adamw(
        self,
        grads: Any,
        learning_rate: Any,
        step_sizes: Any,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
        state: Any,
    ) -> Any:
        settings = beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon, weight_decay
        self._each("adamw", (grads, learning_rate, *step_sizes, *settings), grads.size, state)
        return state

    # -- moving values within the device ----------------------------------------------------------------------------

    @overriding_if(lambda amount, *, state: isinstance(amount, int) and INTEGER.fits(state, {}))
    def advance(self, amount: int, *, state: Any) -> Any:
        self._launch("advance", (1,), (1,), amount, state, dtype=None)
        return state

    @overriding(int64("samples"), INTEGER, int64("batch"), out=int64("batch"))
    def batch_indices(self, order: Any, position: Any, offsets: Any, *, out: Any) -> Any:
        self._each("batch_indices", (order, order.size, position, offsets), out.size, (out,))
        return out

    @overriding_if(lambda data, indices, *, out: _gathers(data, indices, out))
    def gather(self, data: Any, indices: Any, *, out: Any) -> Any:
        row_bytes = math.prod(data.shape[1:]) * data.dtype.itemsize
        width = row_width(-(-row_bytes // 16))
        if out.size:
            grid, block = row_grid(indices.size, width)
            args = data, len(data), indices, indices.size, row_bytes, width, out
            self._launch("gather", grid, block, *args, dtype=None)
        return out

    @overriding_if(lambda *measured, state: _records(measured, state))
    def record(self, *measured: Any, state: Any) -> Any:
        table, cursor, row = state
        doubles = sum(1 << i for i, number in enumerate(measured) if number.dtype == "float64")
        numbers = *measured, *(None,) * (MEASURED - len(measured))
        sizes = len(measured), doubles, int(table.dtype == "float64"), *table.shape
        self._launch("record", (1,), (1,), *numbers, *sizes, table, cursor, row, dtype=None)
        return state


def _gathers(data: Any, indices: Any, out: Any) -> bool:
    """Rows of any dtype, but the same in and out."""
    if data.ndim == 0 or not len(data) or not int64("batch").fits(indices, {}):
        return False
    whole = data.flags.c_contiguous and out.flags.c_contiguous
    return whole and data.dtype == out.dtype and out.shape == (len(indices), *data.shape[1:])


def _records(measured: Sequence[Any], state: Any) -> bool:
    """A few floating-point numbers, each of its own dtype, that fit a row of the table."""
    table, cursor, row = state
    known: dict[Any, Any] = {}
    fit = (
        real("rows", "columns").fits(table, known) and real("columns").fits(row, known) and INTEGER.fits(cursor, known)
    )
    numbers = all(any(kind.fits(number, {}) for kind in (NUMBER, DOUBLE)) for number in measured)
    return fit and numbers and len(table) > 0 and len(measured) <= min(MEASURED, table.shape[1])
