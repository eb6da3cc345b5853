"""The floor: the bare matrix products of a step or call, with `out=`, and nothing else."""

from __future__ import annotations

import numpy as np

from ..workloads import Workload
from . import BasePeer


class Peer(BasePeer):
    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.products = [self._products(batch.stop - batch.start) for batch in self.batches]

    def _products(self, rows: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each layer: forward, weight gradient and, but for the first layer, input gradient."""
        products = []
        rng = np.random.default_rng(0)
        for i, (weights, _) in enumerate(self.workload.initial()):
            n, m = weights.shape
            inputs, dvalues = (rng.standard_normal((rows, k), dtype=np.float32) for k in (n, m))
            products.append((inputs, weights, np.empty((rows, m), np.float32)))
            if self.workload.training:
                products.append((inputs.T, dvalues, np.empty((n, m), np.float32)))
                if i:
                    products.append((dvalues, weights.T, np.empty((rows, n), np.float32)))
        return products

    @staticmethod
    def versions() -> str:
        return f"NumPy {np.__version__}"

    def run(self, units: int) -> None:
        steps = self.products[:1] if self.workload.unit != "epoch" else self.products
        for _ in range(units):
            for products in steps:
                for left, right, out in products:
                    np.matmul(left, right, out=out)
