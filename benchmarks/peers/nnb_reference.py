"""nnbackend without kernels: what runs where Numba is not installed."""

from __future__ import annotations

from . import nnb


class Peer(nnb.Peer):
    kernels = "reference"
