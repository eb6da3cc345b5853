"""The book's optimizers (chapter 10).

Each step is one op of the library for the weights and one for the biases of a layer. The learning rate is a Python
number, as a script prints it. Momentums and caches are arrays on the layer, under the book's names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from ..backend import Backend, get_backend
from .arrays import OnPlace

# Which optimizer a layer's momentums and caches belong to: a number, so that copies of both still belong together.
_numbers = itertools.count()


@cache
def _host() -> Backend:
    """Where learning rates are computed, whatever the script runs on."""
    return get_backend("cpu", dtype="float64", kernels="reference")


class _Optimizer(OnPlace):
    """What they share: the learning rate with its decay, the iteration, and state on layers."""

    #: What a layer keeps for its weights and for its biases, as in weight_momentums and bias_momentums.
    state_names: tuple[str, ...] = ()

    #: Whether that has the dtype of the values. Else it has the gradient's, where NumPy mixes dtypes (`Place.promoted`).
    state_like_values = False

    def __init__(self, learning_rate: float, decay: float) -> None:
        self.learning_rate = learning_rate
        self.current_learning_rate = learning_rate
        self.decay = decay
        self.iterations = 0
        self._number = next(_numbers)

    def pre_update_params(self) -> None:
        """Compute `current_learning_rate`: call it once before the layers are updated."""
        if self.decay:
            xp = _host()
            rate, decay, iterations = (xp.full(1, n) for n in (self.learning_rate, self.decay, self.iterations))
            current = xp.ops.decayed_learning_rate(rate, decay, iterations, out=xp.empty(1))
            self.current_learning_rate = current.item()

    def update_params(self, layer: Any) -> None:
        """Change a layer's weights and biases, in place, by one step along `dweights` and `dbiases`."""
        for values, gradient, state in self._parts(layer):
            self._step(self.place.backend(gradient.dtype), gradient, (values, *state))

    def post_update_params(self) -> None:
        """Count the iteration: call it once after the layers were updated."""
        self.iterations += 1

    def _step(self, xp: Backend, gradient: Any, state: tuple[Any, ...]) -> None:
        """One step on `state`: the values, then what `state_names` says."""
        raise NotImplementedError

    def _rate(self, xp: Backend) -> Any:
        return xp.full(1, self.current_learning_rate)

    def _parts(self, layer: Any) -> Iterator[tuple[Any, Any, list[Any]]]:
        """The values, the gradient and the state of a layer's weights, then of its biases."""
        attributes = vars(layer)
        fresh = attributes.get("_optimizer_number") != self._number
        attributes["_optimizer_number"] = self._number
        for parameters, kind in (("weights", "weight"), ("biases", "bias")):
            who = f"{type(self).__name__}.update_params"
            _, values = self.place.take(getattr(layer, parameters), who)
            _, gradient = self.place.take(getattr(layer, f"d{parameters}"), who)
            names = [f"{kind}_{name}" for name in self.state_names]
            for name in names:
                if fresh or name not in attributes:  # what another optimizer left behind is not this one's
                    like = values if self.state_like_values else gradient
                    attributes[name] = self.place.backend(like.dtype).zeros(values.shape)
            yield values, gradient, [attributes[name] for name in names]

    # -- for files -------------------------------------------------------------------------------------------------------

    def state_of(self, layer: Any, name: str) -> tuple[Any, Any]:
        """What it keeps under that name for a layer's weights and biases: zeros before its first step."""
        attributes = vars(layer)
        if attributes.get("_optimizer_number") == self._number and f"weight_{name}" in attributes:
            return attributes[f"weight_{name}"], attributes[f"bias_{name}"]
        xp = self.place.backend(layer.weights.dtype)
        return xp.zeros(layer.weights.shape), xp.zeros(layer.biases.shape)

    def set_state_of(self, layer: Any, name: str, state: tuple[Any, Any]) -> None:
        """Keep that for a layer's weights and biases."""
        weights, biases = state
        vars(layer).update({f"weight_{name}": weights, f"bias_{name}": biases, "_optimizer_number": self._number})


class Optimizer_SGD(_Optimizer):
    """Stochastic gradient descent, with momentum if asked for: `nnbackend.SGD` under the book's name.

    >>> from nnbackend.book import Optimizer_SGD
    >>> optimizer = Optimizer_SGD(decay=0.1)
    >>> for _ in range(2):
    ...     optimizer.pre_update_params()
    ...     optimizer.post_update_params()
    >>> print(optimizer.current_learning_rate)
    0.9090909090909091
    """

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(learning_rate, decay)
        self.momentum = momentum

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Momentums, where there is momentum."""
        return ("momentums",) if self.momentum else ()

    def _step(self, xp: Backend, gradient: Any, state: tuple[Any, ...]) -> None:
        if self.momentum:
            xp.ops.sgd_momentum(gradient, self._rate(xp), momentum=self.momentum, state=state)
        else:
            xp.ops.sgd(gradient, self._rate(xp), state=state)


class Optimizer_Adagrad(_Optimizer):
    """`nnbackend.Adagrad` under the book's name.

    >>> from nnbackend.book import Optimizer_Adagrad
    >>> Optimizer_Adagrad(decay=1e-4).learning_rate
    1.0
    """

    state_names = ("cache",)
    state_like_values = True  # the book adds to this cache in place, and makes the other optimizers' state anew

    def __init__(self, learning_rate: float = 1.0, decay: float = 0.0, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon

    def _step(self, xp: Backend, gradient: Any, state: tuple[Any, ...]) -> None:
        xp.ops.adagrad(gradient, self._rate(xp), epsilon=self.epsilon, state=state)


class Optimizer_RMSprop(_Optimizer):
    """`nnbackend.RMSprop` under the book's name.

    >>> from nnbackend.book import Optimizer_RMSprop
    >>> Optimizer_RMSprop(learning_rate=0.02, decay=1e-5, rho=0.999).rho
    0.999
    """

    state_names = ("cache",)

    def __init__(
        self, learning_rate: float = 0.001, decay: float = 0.0, epsilon: float = 1e-7, rho: float = 0.9
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.rho = rho

    def _step(self, xp: Backend, gradient: Any, state: tuple[Any, ...]) -> None:
        xp.ops.rmsprop(gradient, self._rate(xp), rho=self.rho, epsilon=self.epsilon, state=state)


class Optimizer_Adam(_Optimizer):
    """`nnbackend.Adam` under the book's name.

    >>> from nnbackend.book import Optimizer_Adam
    >>> optimizer = Optimizer_Adam(learning_rate=0.05, decay=5e-7)
    >>> optimizer.current_learning_rate, optimizer.beta_1, optimizer.beta_2
    (0.05, 0.9, 0.999)
    """

    state_names = ("momentums", "cache")

    def __init__(
        self,
        learning_rate: float = 0.001,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
    ) -> None:
        super().__init__(learning_rate, decay)
        self.epsilon = epsilon
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def _step(self, xp: Backend, gradient: Any, state: tuple[Any, ...]) -> None:
        host, betas = _host(), {"beta_1": self.beta_1, "beta_2": self.beta_2}
        # a number and not an array of one: NumPy takes powers of the two in different ways, and the book takes those of numbers
        iterations = np.float64(self.iterations)
        corrections = host.ops.bias_corrections(iterations, **betas, out=(host.empty(()), host.empty(())))
        corrections = tuple(xp.full(1, correction.item()) for correction in corrections)
        xp.ops.adam_unfolded(gradient, self._rate(xp), corrections, **betas, epsilon=self.epsilon, state=state)
