"""nnbackend as its users use it: `Model.train` and `Model.predict`."""

from __future__ import annotations

import nnbackend as nn

from ..workloads import Workload
from . import BasePeer


class Peer(BasePeer):
    kernels = "auto"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.model = self._model(workload)

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
            backend=nn.get_backend("cpu", kernels=self.kernels),
            seed=0,
        )
        for layer, (weights, biases) in zip(
            (x for x in layers if isinstance(x, nn.Dense)), workload.initial(), strict=True
        ):
            layer.weights, layer.biases = weights, biases
        return model

    @staticmethod
    def versions() -> str:
        return f"nnbackend {nn.__version__}, {nn.get_backend('cpu').description}"

    def loss_after(self, steps: int) -> float:
        model, workload = self._model(self.workload.for_check), self.workload
        if not workload.training:
            return float(model.predict(self.X)[0].max())
        if workload.batch_size is None:
            return model.train(self.X, self.y, epochs=steps, print_every=0)["loss"][-1]
        loss = 0.0
        for batch in self.first_batches(steps):
            loss = model.train(self.X[batch], self.y[batch], print_every=0)["loss"][-1]
        return loss

    def run(self, units: int) -> None:
        workload, model = self.workload, self.model
        if not workload.training:
            for _ in range(units):
                model.predict(self.X)
        elif workload.unit == "step" and workload.batch_size is not None:
            used = slice(0, units * workload.batch_size)  # an epoch of as many steps
            model.train(self.X[used], self.y[used], batch_size=workload.batch_size, print_every=0)
        else:
            model.train(self.X, self.y, epochs=units, batch_size=workload.batch_size, print_every=0)
