"""The floor on a GPU: the bare matrix products of a step, through cuBLAS, captured once and launched as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..settings import Setting
from ..workloads import Workload
from . import floor, torch_eager
from .torch_graph import capture


class Peer(floor.Peer):
    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        return "is for training" if not workload.training else torch_eager.gpu_refusal(setting)

    def prepare(self, step: list[floor.Product]) -> Callable[[], None]:
        torch_eager.set_precision(self.workload.precision)
        dtype = torch.bfloat16 if self.workload.precision == "bfloat16" else torch.float32
        tensors = [tuple(torch.from_numpy(array).to("cuda", dtype) for array in product) for product in step]

        def run() -> None:
            for left, right, out in tensors:
                torch.matmul(left, right, out=out)

        return capture(run)

    def versions(self) -> str:
        return f"torch {torch.__version__}, a CUDA graph"

    def run(self, units: int) -> None:
        super().run(units)
        torch.cuda.synchronize()
