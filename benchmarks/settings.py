"""What nnbackend runs on, and with which kernels; every worker is given it on its command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """The choices of a run that are not a workload's."""

    backend: str = "cpu"  # nnbackend's; unless it is "cpu", PyTorch and JAX run on their GPU
    kernels: str = "auto"  # "auto", "all" or "reference", as in `get_backend`
    tiny: bool = False  # workloads of a few samples and neurons: tests run everything with them

    @property
    def on_gpu(self) -> bool:
        """Whether this is about a GPU (or the pretend one)."""
        return self.backend != "cpu"

    def to_json(self) -> str:
        """In one word of a command line."""
        return json.dumps(asdict(self))

    def environment(self) -> dict[str, str]:
        """What a worker's libraries must find in the environment.

        JAX takes three quarters of a GPU's memory when it starts, as long as nobody forbids it: here others share it.
        """
        return {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.25"} if self.on_gpu else {"JAX_PLATFORMS": "cpu"}

    def get_backend(self, kernels: str | None = None, **more: Any) -> Any:
        """The backend that is measured, or with other kernels; `BackendError` in one sentence where it does not work."""
        import nnbackend as nn

        return nn.get_backend(self.backend, kernels=kernels or self.kernels, **more)
