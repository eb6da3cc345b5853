"""PyTorch, eager, for programs whose data are tensors already: no way from NumPy and back; inference on the CPU only."""

from __future__ import annotations

import torch

from ..settings import Setting
from ..workloads import Workload
from . import torch_eager


class Peer(torch_eager.Peer):
    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if workload.training:
            return "is for inference: training has no other data than those of torch"
        return "runs on the CPU" if setting.on_gpu else ""

    def run(self, units: int) -> None:
        X, _ = self.data
        with torch.inference_mode():
            for _ in range(units):
                self.answer(X)
