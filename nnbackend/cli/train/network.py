"""`nnbackend train`: the network's layers and their penalties."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from ...activations import ReLU
from ...initializers import Normal
from ...layers import Dense, Dropout, Layer
from ...regularizers import L1, L1L2, L2, Regularizer
from ..tasks import Task

# The group of these options in the help.
_network = partial(typer.Option, rich_help_panel="Network")


@dataclass
class NetworkOptions:
    """The layers."""

    hidden: Annotated[
        list[int] | None,
        _network(
            metavar="N",
            help="Neurons of a hidden layer; once for every layer (default: 64; sine: 64, 64; images: 128, 128).",
        ),
    ] = None
    dropout: Annotated[
        float, _network(metavar="RATE", help="Share of neurons dropped behind every hidden layer (chapter 15).")
    ] = 0.0
    weight_l1: Annotated[float, _network(metavar="L", help="L1 strength on the weights of hidden layers.")] = 0.0
    weight_l2: Annotated[
        float | None,
        _network(metavar="L", help="L2 strength on the weights of hidden layers (default: 0.0005; sine, images: 0)."),
    ] = None
    bias_l1: Annotated[float, _network(metavar="L", help="L1 strength on the biases of hidden layers.")] = 0.0
    bias_l2: Annotated[
        float | None,
        _network(metavar="L", help="L2 strength on the biases of hidden layers (default: 0.0005; sine, images: 0)."),
    ] = None

    def layers(self, task: Task) -> list[Layer]:
        """The layers for a task."""
        defaults = task.defaults
        n_inputs, layers = task.training[0].shape[1], []
        for n_neurons in self.hidden or defaults.hidden:
            layers += self._hidden_layer(n_inputs, n_neurons, defaults.l2, Normal(defaults.initial_weights))
            n_inputs = n_neurons
        last = Dense(n_inputs, task.n_outputs, weight_initializer=Normal(defaults.initial_weights))
        return [*layers, last, task.ending.layer()]

    def _hidden_layer(self, n_inputs: int, n_neurons: int, l2: float, initializer: Normal) -> list[Layer]:
        dense = Dense(
            n_inputs,
            n_neurons,
            weight_regularizer=regularizer(self.weight_l1, l2 if self.weight_l2 is None else self.weight_l2),
            bias_regularizer=regularizer(self.bias_l1, l2 if self.bias_l2 is None else self.bias_l2),
            weight_initializer=initializer,
        )
        return [dense, ReLU(), Dropout(self.dropout)] if self.dropout else [dense, ReLU()]


def regularizer(l1: float, l2: float) -> Regularizer | None:
    """The penalty with these strengths, by its simplest name."""
    if not l2:
        return L1(l1) if l1 else None
    return L1L2(l1, l2) if l1 else L2(l2)
