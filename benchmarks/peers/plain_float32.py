"""The plain transcription in float32, the precision of all other peers."""

from __future__ import annotations

from ..workloads import Workload
from . import plain


class Peer(plain.Peer):
    dtype = "float32"

    @classmethod
    def takes(cls, workload: Workload) -> bool:
        return True
