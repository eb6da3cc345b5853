"""nnbackend without kernels: what runs where Numba is not installed; on a GPU, CuPy's own functions alone."""

from __future__ import annotations

from typing import Any

from ..settings import Setting
from ..workloads import Workload
from . import nnb


class Peer(nnb.Peer):
    @classmethod
    def backend(cls, workload: Workload, setting: Setting) -> Any:
        return setting.get_backend(kernels="reference")

    @classmethod
    def refusal(cls, workload: Workload, setting: Setting) -> str:
        if setting.kernels == "reference":
            return "the same as nnbackend in this run"
        if workload.precision != "float32":
            return "knows products in float32 only"
        return super().refusal(workload, setting)
