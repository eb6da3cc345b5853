"""PyTorch with `torch.compile` around the forward pass and the loss, which compiles the backward pass too; fused Adam."""

from __future__ import annotations

from collections.abc import Callable

import torch

from . import torch_eager


class Peer(torch_eager.Peer):
    def compiled(self, function: Callable) -> Callable:
        return torch.compile(function)
