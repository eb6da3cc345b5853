"""The floor: the bare matrix products of a step or call, with `out=`, and nothing else.

All batches use the same arrays, so they come from the cache where they fit: nothing that computes the products is quicker.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..settings import Setting
from ..workloads import Workload
from . import BasePeer

Product = tuple[np.ndarray, np.ndarray, np.ndarray]


def products(workload: Workload, rows: int) -> list[Product]:
    """Left and right factor and result, for each layer: forward, weight gradient and, but for the first, input gradient."""
    found = []
    rng = np.random.default_rng(0)
    for i, (weights, _) in enumerate(workload.initial()):
        n, m = weights.shape
        inputs, dvalues = (rng.standard_normal((rows, k), dtype=np.float32) for k in (n, m))
        found.append((inputs, weights, np.empty((rows, m), np.float32)))
        if workload.training:
            found.append((inputs.T, dvalues, np.empty((n, m), np.float32)))
            if i:
                found.append((dvalues, weights.T, np.empty((rows, n), np.float32)))
    return found


class Peer(BasePeer):
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        sizes = [batch.stop - batch.start for batch in self.batches]
        self.steps = {rows: self.prepare(products(workload, rows)) for rows in set(sizes)}
        self.epoch = [self.steps[rows] for rows in sizes]

    def prepare(self, step: list[Product]) -> Callable[[], None]:
        """What computes the products of a step."""

        def run() -> None:
            for left, right, out in step:
                np.matmul(left, right, out=out)

        return run

    def versions(self) -> str:
        return f"NumPy {np.__version__}"

    def loss_after(self, steps: int) -> None:
        return None

    def loss_now(self) -> None:
        return None

    def run(self, units: int) -> None:
        epochs, steps = self.passes(units) if self.workload.training else (units, 1)
        for _ in range(epochs):
            for step in self.epoch[:steps]:
                step()
