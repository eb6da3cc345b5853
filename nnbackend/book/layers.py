"""The book's layers (chapters 3, 9, 14, 15 and 18)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..initializers import Normal
from ..layers import Dropout
from .arrays import OnPlace


class _GlobalGenerator:
    """NumPy's global random state, asked as the book asks it, behind the name that initializers use."""

    @staticmethod
    def standard_normal(shape: tuple[int, ...]) -> np.ndarray:
        return np.random.randn(*shape)  # noqa: NPY002 - so that a seed gives the book's weights


class Layer_Dense(OnPlace):
    """A fully connected layer: `nnbackend.Dense` under the book's name, with the four strengths of chapter 14.

    `weights` and `biases` are ordinary arrays that a script may replace or change in place. The weights begin as
    `weight_scale` · N(0, 1), drawn from NumPy's global random state; chapter 17's listing draws with 0.1 instead of 0.01,
    for which a script sets `Layer_Dense.weight_scale = 0.1` before it builds its layers.

    >>> import numpy as np
    >>> from nnbackend.book import Layer_Dense
    >>> dense1 = Layer_Dense(2, 3, weight_regularizer_l2=5e-4)
    >>> dense1.forward(np.ones((5, 2)))
    >>> dense1.output.shape
    (5, 3)
    """

    weight_scale = 0.01

    inputs: Any
    output: Any
    dinputs: Any
    dweights: Any
    dbiases: Any

    def __init__(
        self,
        n_inputs: int,
        n_neurons: int,
        weight_regularizer_l1: float = 0,
        weight_regularizer_l2: float = 0,
        bias_regularizer_l1: float = 0,
        bias_regularizer_l2: float = 0,
    ) -> None:
        # `Any`: on the GPU this stand-in for a generator gives NumPy's numbers as well
        generator: Any = _GlobalGenerator()
        drawn = Normal(self.weight_scale).draw(generator, (n_inputs, n_neurons))
        xp = self.place.backend(drawn.dtype)
        self.weights = xp.asarray(drawn)
        self.biases = xp.zeros((1, n_neurons))
        self.weight_regularizer_l1 = weight_regularizer_l1
        self.weight_regularizer_l2 = weight_regularizer_l2
        self.bias_regularizer_l1 = bias_regularizer_l1
        self.bias_regularizer_l2 = bias_regularizer_l2

    @classmethod
    def of_parameters(cls, weights: Any, biases: Any, **strengths: float) -> Layer_Dense:
        """A layer that is given its parameters: nothing is drawn from NumPy's global random state."""
        layer = cls.__new__(cls)
        vars(layer).update(weights=weights, biases=biases, **strengths)
        return layer

    def forward(self, inputs: Any, training: bool = False) -> None:
        """output = inputs · weights + biases"""
        xp, weights = self.place.take(self.weights, "Layer_Dense.weights")
        _, biases = self.place.take(self.biases, "Layer_Dense.biases", weights.dtype)
        _, inputs = self.place.take(inputs, "Layer_Dense.forward", weights.dtype)
        self.inputs = xp.atleast_2d(inputs)
        shape = (len(self.inputs), weights.shape[1])
        self.output = xp.ops.dense(self.inputs, weights, biases, out=xp.empty(shape))

    def backward(self, dvalues: Any) -> None:
        """dweights and dbiases, with the penalties, and dinputs"""
        xp, weights = self.place.take(self.weights, "Layer_Dense.weights")
        _, dvalues = self.place.take(dvalues, "Layer_Dense.backward", weights.dtype)
        self.dweights = xp.ops.weights_gradient(self.inputs, dvalues, out=xp.empty(weights.shape))
        wide = self.place.promoted(xp, dvalues.dtype)
        self.dbiases = wide.ops.biases_gradient(dvalues, out=wide.empty(self.biases.shape))
        for part in penalized(self):
            xp.ops.penalty_gradient(part.values, l1=part.l1, l2=part.l2, state=getattr(self, part.gradient))
        self.dinputs = xp.ops.inputs_gradient(dvalues, weights, out=xp.empty(self.inputs.shape))

    def get_parameters(self) -> tuple[Any, Any]:
        """Copies of the weights and the biases (chapter 20)."""
        return self.weights.copy(), self.biases.copy()

    def set_parameters(self, weights: Any, biases: Any) -> None:
        """Take copies of these weights and biases (chapter 20)."""
        self.weights = self.place.check(weights, "Layer_Dense.set_parameters").copy()
        self.biases = self.place.check(biases, "Layer_Dense.set_parameters").copy()


class Penalized(NamedTuple):
    """Parameters of a layer that carry a penalty: their values, its strengths, and the attribute of their gradient."""

    values: Any
    l1: float
    l2: float
    gradient: str


def penalized(layer: Any) -> Iterator[Penalized]:
    """The weights and the biases of a layer, where their strengths are above zero."""
    for parameters, kind in (("weights", "weight"), ("biases", "bias")):
        l1 = getattr(layer, f"{kind}_regularizer_l1", 0)
        l2 = getattr(layer, f"{kind}_regularizer_l2", 0)
        if l1 > 0 or l2 > 0:
            yield Penalized(getattr(layer, parameters), l1, l2, f"d{parameters}")


class Layer_Dropout(OnPlace):
    """Drops each input with probability `rate` while training: `nnbackend.Dropout` under the book's name (chapter 15).

    The mask comes from `np.random.binomial` on NumPy's global random state, as in the book. As there, the attribute `rate`
    is the probability that an input is kept. `forward(inputs)` drops; from chapter 18 on `forward(inputs, training)` drops
    only while training.

    >>> import numpy as np
    >>> from nnbackend.book import Layer_Dropout
    >>> dropout1 = Layer_Dropout(0.5)
    >>> dropout1.forward(np.ones((2, 3)), training=False)
    >>> dropout1.output
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """

    inputs: Any
    output: Any
    dinputs: Any

    def __init__(self, rate: float) -> None:
        library = Dropout(rate)  # which looks at the rate
        self.drop_rate = library.rate
        self.rate = library.keep_rate
        self.binary_mask: Any = None

    def forward(self, inputs: Any, training: bool = True) -> None:
        """output = inputs · mask while training, else inputs"""
        xp, self.inputs = self.place.take(inputs, "Layer_Dropout.forward")
        if not training:
            self.binary_mask = None
            self.output = self.inputs.copy()
            return
        shape, rate = self.inputs.shape, self.drop_rate
        kept = np.random.binomial(1, self.rate, size=shape)  # noqa: NPY002 - so that a seed gives the book's masks
        xp = self.place.promoted(xp, kept.dtype, self.inputs.dtype)
        self.binary_mask = xp.ops.dropout_mask(xp.asarray(kept), rate=rate, out=xp.empty(shape))
        self.output = xp.ops.multiply(self.inputs, self.binary_mask, out=xp.empty(shape))

    def backward(self, dvalues: Any) -> None:
        """dinputs = dvalues · mask; after a pass that dropped nothing, dvalues"""
        xp, dvalues = self.place.take(dvalues, "Layer_Dropout.backward")
        if self.binary_mask is None:
            self.dinputs = dvalues.copy()
        else:
            xp = self.place.promoted(xp, dvalues.dtype, self.binary_mask.dtype)
            self.dinputs = xp.ops.multiply(dvalues, self.binary_mask, out=xp.empty(dvalues.shape))


class Layer_Input(OnPlace):
    """What stands before a model's first layer (chapter 18): output = inputs.

    >>> from nnbackend.book import Layer_Input
    >>> layer = Layer_Input()
    >>> layer.forward([[1.0, 2.0]], training=True)
    >>> layer.output
    array([[1., 2.]])
    """

    output: Any

    def forward(self, inputs: Any, training: bool = False) -> None:
        """output = inputs"""
        _, self.output = self.place.take(inputs, "Layer_Input.forward")
