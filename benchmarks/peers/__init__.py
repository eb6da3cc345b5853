"""The peers, by name. Each is a module with a class `Peer`; one that is not installed is left out by name."""

from __future__ import annotations

import numpy as np

from ..settings import Setting
from ..workloads import Workload

# In the order of the tables.
MODULES = {
    "nnbackend": "nnb",
    "nnbackend-reference": "nnb_reference",
    "nnbackend-cpu": "nnb_cpu",
    "plain-numpy": "plain",
    "plain-float32": "plain_float32",
    "torch": "torch_eager",
    "torch-tensors": "torch_tensors",
    "torch-compile": "torch_compiled",
    "torch-graph": "torch_graph",
    "torch-compile-graph": "torch_compiled_graph",
    "jax": "jax_scan",
    "sklearn": "sklearn_mlp",
    "floor": "floor",
    "floor-gpu": "floor_gpu",
}

# At most so many samples on which it is looked at whether training did anything.
LOOKED_AT = 500


class BasePeer:
    """What a peer does. `units` are those of the workload: steps, epochs or calls."""

    def __init__(self, workload: Workload, setting: Setting) -> None:
        self.workload, self.setting = workload, setting
        self.X, self.y = workload.data()

    def versions(self) -> str:
        """What runs underneath, with versions."""
        raise NotImplementedError

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        """Why it does not do that work, or ""."""
        return "runs on the CPU" if setting.on_gpu else ""

    def train(self, units: int) -> None:
        """Do the training that is timed."""
        raise NotImplementedError

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, from a NumPy array to a NumPy array, as all peers do."""
        raise NotImplementedError

    def loss_after(self, steps: int) -> float | None:
        """The training loss of the step number `steps`, from the common weights, on unshuffled batches.

        None where the peer has no such figure.
        """
        raise NotImplementedError

    def run(self, units: int) -> None:
        """Do the work that is timed; when it returns, all of it has been done."""
        if self.workload.training:
            self.train(units)
        else:
            for _ in range(units):
                self.predict(self.X)

    def loss_now(self) -> float | None:
        """The loss of its predictions with the weights it has now, on samples of all classes, by one formula for all."""
        some = slice(None, None, -(-len(self.X) // LOOKED_AT))  # the spiral's classes come one after the other
        probabilities = self.predict(np.ascontiguousarray(self.X[some])).astype(np.float64)
        right = probabilities[np.arange(len(probabilities)), self.y[some]]
        return float(-np.log(np.clip(right, 1e-30, None)).mean())

    def device_peak(self) -> int | None:
        """The largest memory it had on a GPU, in bytes, where its library says."""
        return None

    @property
    def batches(self) -> list[slice]:
        """The batches of an epoch, unshuffled."""
        n = len(self.X)
        size = self.workload.batch_size or n
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def first_batches(self, steps: int) -> list[slice]:
        """The batches of that many steps, beginning anew when the data are used up."""
        batches = self.batches
        return [batches[step % len(batches)] for step in range(steps)]

    def passes(self, units: int) -> tuple[int, int]:
        """Epochs and steps in each: part of one epoch, or whole epochs where more steps are wanted than it has."""
        steps = len(self.batches)
        if self.workload.unit == "epoch" or self.workload.batch_size is None:
            return units, steps
        return (1, units) if units < steps else (-(-units // steps), steps)

    def units_done(self, units: int) -> int:
        """How many units `run(units)` really does: whole epochs."""
        if self.workload.training and self.workload.unit == "step":
            epochs, steps = self.passes(units)
            return epochs * steps
        return units
