"""nnbackend on the CPU beside a GPU: where does a GPU begin to pay?"""

from __future__ import annotations

from typing import Any

import nnbackend as nn

from ..settings import Setting
from ..workloads import Workload
from . import nnb


class Peer(nnb.Peer):
    def __init__(self, workload: Workload, setting: Setting) -> None:
        super().__init__(workload, setting)
        self.data = self.X, self.y

    @classmethod
    def backend(cls, workload: Workload, setting: Setting) -> Any:
        return nn.get_backend("cpu")

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if not setting.on_gpu:
            return "the same as nnbackend in this run"
        return "" if workload.precision == "float32" else "computes in float32 only"
