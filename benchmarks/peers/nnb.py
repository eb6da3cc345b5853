"""nnbackend as its users use it: `Model.train` and `Model.predict`."""

from __future__ import annotations

from typing import Any

import numpy as np

import nnbackend as nn
from nnbackend.errors import NNBackendError

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer


class Peer(BasePeer):
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        self.xp = self.backend(workload, setting)
        # As the other libraries' data, those of a GPU lie there before the time is taken.
        self.data: tuple[Any, Any] = (self.X, self.y)
        if setting.on_gpu:
            self.data = self.xp.asarray(self.X), self.xp.asarray(self.y)
        self.model = self._model(workload)
        self._next = 0  # the batch that a turn shorter than an epoch begins with

    @classmethod
    def backend(cls, workload: Workload, setting: Setting) -> Any:
        """What it runs on."""
        more = {} if workload.precision == "float32" else {"matmul_precision": workload.precision}
        return setting.get_backend(**more)

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        try:
            cls.backend(workload, setting)
        except NNBackendError as error:
            return str(error)
        return ""

    def _model(self, workload: Workload) -> nn.Model:
        layers: list[nn.Layer] = []
        shapes = list(zip(workload.sizes, workload.sizes[1:], strict=False))
        for i, (n, m) in enumerate(shapes):
            regularizer = nn.L2(workload.l2) if workload.l2 and not i else None
            layers.append(nn.Dense(n, m, weight_regularizer=regularizer, bias_regularizer=regularizer))
            if i < len(shapes) - 1:
                layers.append(nn.ReLU())
                if workload.dropout and not i:
                    layers.append(nn.Dropout(workload.dropout))
        model = nn.Model(
            [*layers, nn.Softmax()],
            loss=nn.CategoricalCrossentropy(),
            optimizer=nn.Adam(workload.learning_rate, decay=workload.decay),
            backend=self.xp,
            seed=0,
        )
        dense = [layer for layer in layers if isinstance(layer, nn.Dense)]
        for layer, (weights, biases) in zip(dense, workload.initial(), strict=True):
            layer.weights, layer.biases = self.xp.asarray(weights), self.xp.asarray(biases)
        return model

    def versions(self) -> str:
        return f"nnbackend {nn.__version__}, {self.xp.description}, kernels={self.xp.kernels}"

    def loss_after(self, steps: int) -> float:
        X, y = self.data
        model = self._model(self.workload.for_check)
        if self.workload.batch_size is None:
            return model.train(X, y, epochs=steps, print_every=0)["loss"][-1]
        loss = 0.0
        for batch in self.first_batches(steps):
            loss = model.train(X[batch], y[batch], print_every=0)["loss"][-1]
        return loss

    def train(self, units: int) -> None:
        X, y = self.data
        epochs, steps = self.passes(units)
        size = self.workload.batch_size
        if size is not None and steps < len(self.batches):  # an epoch of as many steps, on the batches that come next
            first = self._next if self._next + steps <= len(self.batches) else 0
            self._next = first + steps
            rows = slice(first * size, self._next * size)
            X, y = X[rows], y[rows]
        self.model.train(X, y, epochs=epochs, batch_size=size, print_every=0)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X)

    def device_peak(self) -> int | None:
        if not self.xp.name.startswith("gpu"):
            return None
        import cupy

        return int(cupy.get_default_memory_pool().total_bytes())
