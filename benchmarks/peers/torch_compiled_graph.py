"""PyTorch with `torch.compile(mode="reduce-overhead")`, which replays what it compiled as CUDA graphs; fused Adam."""

from __future__ import annotations

from ..settings import Setting
from ..workloads import Workload
from . import torch_compiled, torch_eager


class Peer(torch_compiled.Peer):
    mode = "reduce-overhead"

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        return torch_eager.gpu_refusal(setting)
