"""TensorBoard's event files, as far as curves need them: bytes, so that the callback decides when they reach the disk.

TensorBoard's own writer keeps a queue and a thread, and cannot go back over half a record that a full disk left. So its
encoding and its records are used, and its writer is not.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StateError

_counter = itertools.count()


def named_file(now: float, process: int) -> str:
    """A name that TensorBoard recognizes, sorts behind earlier ones, and that no other file of this process has.

    >>> named_file(1_700_000_000.25, 7)[:39]
    'events.out.tfevents.1700000000.250000.7'
    """
    return f"events.out.tfevents.{now:017.6f}.{process}.{next(_counter)}"


def records_from(now: float) -> bytes:
    """What a file begins with: the version."""
    event, _ = _encodings()
    return _record(event.Event(wall_time=now, file_version="brain.Event:2"))


def restart(step: int, now: float) -> bytes:
    """A record that makes TensorBoard forget what earlier files of the folder say of this step and later ones."""
    event, _ = _encodings()
    return _record(event.Event(wall_time=now, step=step, session_log=event.SessionLog(status=event.SessionLog.START)))


def numbers(values: Mapping[str, float], step: int, now: float) -> bytes:
    """A record with a point for each of some curves."""
    event, summary = _encodings()
    with np.errstate(over="ignore"):
        points = [
            summary.Summary.Value(tag=name, simple_value=float(np.float32(value))) for name, value in values.items()
        ]
    return _record(event.Event(wall_time=now, step=step, summary=summary.Summary(value=points)))


def _encodings() -> tuple[Any, Any]:
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
    except ModuleNotFoundError:
        raise StateError(
            "curves for TensorBoard need its package, which is not installed: pip install 'nnbackend[tensorboard]'"
        ) from None
    return event_pb2, summary_pb2


def _record(event: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    RecordWriter(file).write(event.SerializeToString())
    return file.getvalue()
