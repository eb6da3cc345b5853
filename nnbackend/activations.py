"""Activation functions: layers without parameters (book, chapters 4, 9, 16 and 17)."""

from __future__ import annotations

from typing import Any

from .layers import Layer


class Linear(Layer):
    """output = inputs: the activation of a regression's last layer (book, chapter 17).

    >>> import nnbackend as nn
    >>> linear = nn.Linear()
    >>> linear.forward(linear.xp.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    only_ops = True

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = inputs, the same array"""
        self.check_inputs(inputs)
        self.inputs = self.output = inputs
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dinputs = dvalues, the same array"""
        self.check_dvalues(dvalues)
        self.dinputs = dvalues
        return self.dinputs


class ReLU(Layer):
    """output = max(0, inputs); dinputs = dvalues where inputs > 0, else 0 (book, chapters 4 and 9).

    >>> import nnbackend as nn
    >>> relu = nn.ReLU()
    >>> relu.forward(relu.xp.asarray([[-1.0, 0.0, 2.0]])).tolist()
    [[0.0, 0.0, 2.0]]
    >>> relu.backward(relu.xp.ones((1, 3))).tolist()
    [[0.0, 0.0, 1.0]]
    """

    only_ops = True

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = max(0, inputs)"""
        self.check_inputs(inputs)
        self.inputs = inputs
        self.output = self.xp.ops.relu(inputs, out=self.buffer("output", inputs.shape))
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dinputs = dvalues where output > 0, else 0"""
        self.check_dvalues(dvalues)
        self.dinputs = self.xp.ops.relu_backward(dvalues, self.output, out=self.buffer("dinputs", dvalues.shape))
        return self.dinputs


class Sigmoid(Layer):
    """output = 1 / (1 + e^-inputs); dinputs = dvalues · output · (1 - output) (book, chapter 16).

    >>> import nnbackend as nn
    >>> sigmoid = nn.Sigmoid()
    >>> sigmoid.forward(sigmoid.xp.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """

    only_ops = True

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = 1 / (1 + e^-inputs)"""
        self.check_inputs(inputs)
        self.inputs = inputs
        self.output = self.xp.ops.sigmoid(inputs, out=self.buffer("output", inputs.shape))
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dinputs = dvalues · output · (1 - output)"""
        self.check_dvalues(dvalues)
        self.dinputs = self.xp.ops.sigmoid_backward(dvalues, self.output, out=self.buffer("dinputs", dvalues.shape))
        return self.dinputs


class Softmax(Layer):
    """output = e^inputs / Σ e^inputs, over each row (book, chapters 4 and 9).

    The largest input of the row is subtracted first, so nothing overflows. The gradient applies the Jacobian of all
    samples at once: dinputs = output · (dvalues - Σ dvalues · output).

    >>> import nnbackend as nn
    >>> softmax = nn.Softmax()
    >>> softmax.forward(softmax.xp.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    only_ops = True

    def forward(self, inputs: Any, *, training: bool = False) -> Any:
        """output = e^inputs / Σ e^inputs"""
        self.check_inputs(inputs)
        self.inputs = inputs
        self.output = self.xp.ops.softmax(inputs, out=self.buffer("output", inputs.shape))
        return self.output

    def backward(self, dvalues: Any) -> Any:
        """dinputs = output · (dvalues - Σ dvalues · output)"""
        self.check_dvalues(dvalues)
        self.dinputs = self.xp.ops.softmax_backward(dvalues, self.output, out=self.buffer("dinputs", dvalues.shape))
        return self.dinputs
