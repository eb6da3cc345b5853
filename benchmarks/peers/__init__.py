"""The peers, by name. Each is a module with a class `Peer`; one that is not installed is left out by name."""

from __future__ import annotations

from ..workloads import Workload

# In the order of the tables.
MODULES = {
    "nnbackend": "nnb",
    "nnbackend-reference": "nnb_reference",
    "plain-numpy": "plain",
    "plain-float32": "plain_float32",
    "torch": "torch_eager",
    "torch-compile": "torch_compiled",
    "jax": "jax_scan",
    "sklearn": "sklearn_mlp",
    "floor": "floor",
}


class BasePeer:
    """What a peer does. `units` are those of the workload: steps, epochs or calls."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.X, self.y = workload.data()

    @staticmethod
    def versions() -> str:
        """What runs underneath, with versions."""
        raise NotImplementedError

    @classmethod
    def takes(cls, workload: Workload) -> bool:
        """Whether it can do that work."""
        return True

    def loss_after(self, steps: int) -> float:
        """The training loss of the step number `steps`, from the common weights, on unshuffled batches."""
        raise NotImplementedError

    def run(self, units: int) -> None:
        """Do the work that is timed."""
        raise NotImplementedError

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
