"""PyTorch with `torch.compile` around the forward pass and the loss, which compiles the backward pass too; fused Adam."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..workloads import Workload
from . import torch_eager


class Peer(torch_eager.Peer):
    mode: str | None = None

    def begin(self, workload: Workload) -> None:
        # What was compiled for other weights and threads goes: past eight versions torch would silently run eagerly.
        torch._dynamo.reset()
        super().begin(workload)

    def compiled(self, function: Callable) -> Callable:
        """For each batch size by itself: code for any size, which torch turns to at the short last batch, is slower."""
        return torch.compile(function, dynamic=False, mode=self.mode)
