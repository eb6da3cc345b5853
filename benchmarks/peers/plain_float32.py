"""The plain transcription in float32, the precision of all other peers."""

from __future__ import annotations

from . import plain


class Peer(plain.Peer):
    dtype = "float32"
