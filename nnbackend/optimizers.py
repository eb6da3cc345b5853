"""Optimizers: how gradients change parameters (book, chapters 10 to 14).

`optimizer.update(parameters)` makes one step over a whole `ParameterBuffer`, whatever the depth of the network. State
(momentums, caches) is flat as well and belongs to the optimizer. What changes from step to step - the iteration, the
learning rate - lives in arrays of the backend, so that a compiled step may be replayed.
"""

from __future__ import annotations

from typing import Any

from .backend import Backend
from .checks import count, fraction, not_negative, positive
from .errors import ArgumentError, StateError, shown
from .parameters import ParameterBuffer, aligned


class Optimizer:
    """The base: the learning rate with its decay, the iteration, and flat state.

    learning rate at an iteration = learning_rate / (1 + decay · iterations). A subclass names its flat state arrays in
    `state_names` and defines `step`; `only_ops` as for layers.

    With `clip_norm`, a step is made along g · min(1, clip_norm / ‖g‖) instead of g, where ‖g‖ = √Σ g² over all parameters of the
    network, penalties included, summed in float64 on the device. `layer.dweights` and its like keep the gradients as they
    were. Where ‖g‖ is not finite, all parameters become NaN, and so does the next loss, which says at which step.
    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, decay: float = 0.0, clip_norm: float | None = None) -> None:
        kind = type(self).__name__
        self._learning_rate = positive(f"{kind} learning_rate", learning_rate)
        self._decay = not_negative(f"{kind} decay", decay)
        self.clip_norm = None if clip_norm is None else positive(f"{kind} clip_norm", clip_norm)
        self._clipped: Any = None
        self._parameters: ParameterBuffer | None = None
        self.state: dict[str, Any] = {}
        self._schedule: dict[str, Any] = {}

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """Change `values` by one step along `grads`; the learning rate is `self.rate`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method step(xp, grads, values)")

    def update(self, parameters: ParameterBuffer) -> None:
        """One step over all parameters. The first call binds the optimizer to that buffer."""
        self.bind(parameters)
        ops, schedule = parameters.xp.ops, self._schedule
        ops.decayed_learning_rate(
            schedule["learning_rate"], schedule["decay"], schedule["iterations"], out=schedule["current"]
        )
        grads = parameters.grads
        if self.clip_norm is not None:
            norm, factor = schedule["norm"], schedule["factor"]
            ops.clip_factor(grads, limit=self.clip_norm, out=(norm, factor))
            grads = ops.scale(grads, factor, out=self._clipped)
        self.step(parameters.xp, grads, parameters.values)
        ops.advance(1, state=schedule["iterations"])

    def bind(self, parameters: ParameterBuffer) -> None:
        """Make state for a buffer, once, and follow where its parameters move. Raises `StateError` for other parameters."""
        if self._parameters is parameters and parameters is not None:
            return
        if not isinstance(parameters, ParameterBuffer):
            raise ArgumentError(
                f"{type(self).__name__} was given {shown(parameters)}: expected the parameters of all layers, "
                "nn.ParameterBuffer.of(dense1, dense2, ...)"
            )
        if self._parameters is not None and self._parameters.moved_to(parameters):
            self._parameters = parameters
            return
        if self._parameters is not None:
            raise StateError(
                f"this {type(self).__name__} already updates another ParameterBuffer: give every network its own "
                "optimizer, and all layers of a network one buffer, ParameterBuffer.of(dense1, dense2, ...)"
            )
        xp, size = parameters.xp, parameters.values.size
        needed = (len(self.state_names) + (self.clip_norm is not None)) * size * xp.dtype.itemsize
        with xp.taking(needed, f"the state of {type(self).__name__} for {size} parameters", "use smaller layers"):
            self.state = {name: xp.aligned_zeros(size) for name in self.state_names}
            self._clipped = None if self.clip_norm is None else xp.aligned_zeros(size)
        self._parameters = parameters
        self._schedule = {
            "learning_rate": xp.full(1, self._learning_rate, dtype="float64"),
            "decay": xp.full(1, self._decay, dtype="float64"),
            "current": xp.full(1, self._learning_rate, dtype="float64"),
            "iterations": xp.zeros(1, dtype=xp.index_dtype),
            **{name: xp.zeros(1) for name in ("rate", "adam_rate", "scale", "factor")},
            "norm": xp.zeros(1, dtype="float64"),
        }

    @property
    def parameters(self) -> ParameterBuffer | None:
        """The buffer it updates."""
        return self._parameters

    @property
    def learning_rate(self) -> float:
        """The learning rate before decay. Assigning changes it from the next step on, in a compiled step too."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = positive(f"{type(self).__name__} learning_rate", value)
        self._write("learning_rate", self._learning_rate)

    @property
    def decay(self) -> float:
        """How fast the learning rate falls. Assigning changes it from the next step on."""
        return self._decay

    @decay.setter
    def decay(self, value: float) -> None:
        self._decay = not_negative(f"{type(self).__name__} decay", value)
        self._write("decay", self._decay)

    @property
    def iterations(self) -> int:
        """How many steps have been made: fetched from the device, one transfer."""
        if self._parameters is None:
            return 0
        return int(self._parameters.xp.to_host(self._schedule["iterations"])[0])

    @iterations.setter
    def iterations(self, value: int) -> None:
        if self._parameters is None:
            raise StateError(
                "an optimizer has no iterations before it is bound to parameters: call bind(parameters) first"
            )
        if count("iterations", value, least=0) >= 2**63:
            raise ArgumentError(f"iterations {shown(value)}: expected a number below 2**63")
        self._write("iterations", int(value))

    def _write(self, name: str, value: float) -> None:
        if self._parameters is not None:
            with self._parameters.xp.device_scope:
                self._schedule[name].fill(value)

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the latest step: fetched from the device, one transfer."""
        if self._parameters is None:
            return self._learning_rate
        return float(self._parameters.xp.to_host(self._schedule["current"])[0])

    @property
    def gradient_norm(self) -> float:
        """‖g‖ of the latest step, before it was clipped: fetched from the device, one transfer. Zero before the first step.

        Raises `StateError` without `clip_norm`: then no step looks at it.
        """
        if self.clip_norm is None:
            raise StateError(f"this {type(self).__name__} measures no norm of the gradient: give it a clip_norm")
        if self._parameters is None:
            return 0.0
        return float(self._parameters.xp.to_host(self._schedule["norm"])[0])

    @property
    def current(self) -> Any:
        """The current learning rate on the device, a float64 array of shape (1,)."""
        return self._schedule["current"]

    def rate(self, xp: Backend) -> Any:
        """The learning rate of this step in the backend's dtype, an array of shape (1,)."""
        return xp.ops.assign(self._schedule["current"], out=self._schedule["rate"])

    def _settings(self) -> dict[str, float]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The state of a copy begins at a boundary too."""
        vars(self).update(state)
        if self._parameters is not None:
            self.state = {name: aligned(self._parameters.xp, array) for name, array in self.state.items()}
            if self._clipped is not None:
                self._clipped = aligned(self._parameters.xp, self._clipped)

    def __repr__(self) -> str:
        settings = {"learning_rate": self.learning_rate, "decay": self.decay, **self._settings()}
        if self.clip_norm is not None:
            settings["clip_norm"] = self.clip_norm
        return f"{type(self).__name__}({', '.join(f'{name}={value:g}' for name, value in settings.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for (book, chapter 10).

        w -= learning_rate · g                                   without momentum
        u = momentum · u - learning_rate · g;  w += u            with momentum

    >>> import nnbackend as nn
    >>> nn.SGD(decay=1e-3, momentum=0.9)
    SGD(learning_rate=1, decay=0.001, momentum=0.9)
    """

    only_ops = True

    def __init__(
        self,
        learning_rate: float = 1.0,
        *,
        decay: float = 0.0,
        momentum: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, decay, clip_norm)
        self.momentum = fraction("SGD momentum", momentum)
        self.state_names = ("momentums",) if momentum else ()

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """w -= learning_rate · g, or the same with momentum"""
        if self.momentum:
            state = values, self.state["momentums"]
            xp.ops.sgd_momentum(grads, self.rate(xp), momentum=self.momentum, state=state)
        else:
            xp.ops.sgd(grads, self.rate(xp), state=(values,))

    def _settings(self) -> dict[str, float]:
        return {"momentum": self.momentum}


class Adagrad(Optimizer):
    """A learning rate for every parameter, which falls with the sum of its squared gradients (book, chapter 10).

        c += g²;  w -= learning_rate · g / (√c + ε)

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 12 (2011).

    >>> import nnbackend as nn
    >>> nn.Adagrad(decay=1e-4)
    Adagrad(learning_rate=1, decay=0.0001, epsilon=1e-07)
    """

    only_ops = True
    state_names = ("cache",)

    def __init__(
        self,
        learning_rate: float = 1.0,
        *,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, decay, clip_norm)
        self.epsilon = positive("Adagrad epsilon", epsilon)

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """c += g²;  w -= learning_rate · g / (√c + ε)"""
        xp.ops.adagrad(grads, self.rate(xp), epsilon=self.epsilon, state=(values, self.state["cache"]))

    def _settings(self) -> dict[str, float]:
        return {"epsilon": self.epsilon}


class RMSprop(Optimizer):
    """Like Adagrad with a running mean of squared gradients, without bias correction (book, chapter 10).

        c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)

    Source: Tieleman and Hinton, "Lecture 6.5: RMSprop", Coursera (2012).

    >>> import nnbackend as nn
    >>> nn.RMSprop(0.02, decay=1e-5, rho=0.999)
    RMSprop(learning_rate=0.02, decay=1e-05, rho=0.999, epsilon=1e-07)
    """

    only_ops = True
    state_names = ("cache",)

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        decay: float = 0.0,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, decay, clip_norm)
        self.rho = fraction("RMSprop rho", rho)
        self.epsilon = positive("RMSprop epsilon", epsilon)

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """c = ρ c + (1 - ρ) g²;  w -= learning_rate · g / (√c + ε)"""
        state = values, self.state["cache"]
        xp.ops.rmsprop(grads, self.rate(xp), rho=self.rho, epsilon=self.epsilon, state=state)

    def _settings(self) -> dict[str, float]:
        return {"rho": self.rho, "epsilon": self.epsilon}


class Adam(Optimizer):
    """Momentum and a learning rate for every parameter, both bias-corrected (book, chapter 10).

        m = β₁ m + (1 - β₁) g;        m̂ = m / (1 - β₁ᵗ)
        v = β₂ v + (1 - β₂) g²;       v̂ = v / (1 - β₂ᵗ)
        w -= learning_rate · m̂ / (√v̂ + ε),   t = iterations + 1

    The corrections are folded into two numbers a step, computed in float64.
    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    >>> import nnbackend as nn
    >>> nn.Adam(0.02, decay=5e-7)
    Adam(learning_rate=0.02, decay=5e-07, epsilon=1e-07, beta_1=0.9, beta_2=0.999)
    """

    only_ops = True
    state_names = ("momentums", "cache")

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, decay, clip_norm)
        self.epsilon = positive("Adam epsilon", epsilon)
        self.beta_1 = fraction("Adam beta_1", beta_1)
        self.beta_2 = fraction("Adam beta_2", beta_2)

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """w -= learning_rate · m̂ / (√v̂ + ε)"""
        state = values, self.state["momentums"], self.state["cache"]
        xp.ops.adam(grads, self._step_sizes(xp), **self._betas, epsilon=self.epsilon, state=state)

    def _step_sizes(self, xp: Backend) -> Any:
        schedule = self._schedule
        sizes = schedule["adam_rate"], schedule["scale"]
        return xp.ops.adam_step_sizes(schedule["current"], schedule["iterations"], **self._betas, out=sizes)

    @property
    def _betas(self) -> dict[str, float]:
        return {"beta_1": self.beta_1, "beta_2": self.beta_2}

    def _settings(self) -> dict[str, float]:
        return {"epsilon": self.epsilon, **self._betas}


class AdamW(Adam):
    """Adam with decoupled weight decay: parameters shrink by themselves, not through the gradient.

        w -= learning_rate · λ · w,   λ = weight_decay
        then as in Adam

    An L2 penalty's gradient is divided by √v̂ like any other, so that Adam penalizes weights with large gradients less; this
    does not. The learning rate is that of the step, after decay and schedule. All parameters shrink, biases too, as in
    the paper and in PyTorch; a λ of 0 is Adam. The decay is no part of the loss, and no gradient shows it.
    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.

    >>> import nnbackend as nn
    >>> nn.AdamW(0.02, weight_decay=0.1)
    AdamW(learning_rate=0.02, decay=0, epsilon=1e-07, beta_1=0.9, beta_2=0.999, weight_decay=0.1)
    """

    only_ops = True

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        weight_decay: float = 0.01,
        decay: float = 0.0,
        epsilon: float = 1e-7,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, decay=decay, epsilon=epsilon, beta_1=beta_1, beta_2=beta_2, clip_norm=clip_norm)
        self.weight_decay = not_negative("AdamW weight_decay", weight_decay)

    def step(self, xp: Backend, grads: Any, values: Any) -> None:
        """w -= learning_rate · λ · w;  w -= learning_rate · m̂ / (√v̂ + ε)"""
        state = values, self.state["momentums"], self.state["cache"]
        settings = {**self._betas, "epsilon": self.epsilon, "weight_decay": self.weight_decay}
        xp.ops.adamw(grads, self.rate(xp), self._step_sizes(xp), **settings, state=state)

    def _settings(self) -> dict[str, float]:
        return {**super()._settings(), "weight_decay": self.weight_decay}
