"""What `TensorBoardLog` writes, read back by TensorBoard itself."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.callbacks import event_file
from nnbackend.callbacks.growing_file import GrowingFile
from tests.test_callbacks import fit
from tests.test_storage import new_model, train


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve of a folder as TensorBoard sees it: (epoch, value)."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = accumulators.EventAccumulator(str(folder), size_guidance={accumulators.SCALARS: 0})
    accumulator.Reload()
    return {
        name: [(point.step, point.value) for point in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def expected(*histories: nn.History) -> dict[str, list[tuple[int, float]]]:
    """The curves of some histories, one after the other."""
    return {
        name: [
            (epoch, float(np.float32(value)))
            for h in histories
            for epoch, value in zip(h["epoch"], h[name], strict=True)
        ]
        for name in histories[0]
        if name != "epoch"
    }


def records(path: Path) -> Iterator[bytes]:
    """The contents of a file's records."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        content, data = data[12 : 12 + length], data[16 + length :]  # behind each there is a checksum
        yield content


def test_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    model = new_model()
    with pytest.raises(nn.StateError, match=r"pip install 'nnbackend\[tensorboard\]'"):
        fit(model, 1, nn.TensorBoardLog(tmp_path / "log"))
    assert model.epoch == 0


def test_tensorboard_reads_the_history(tmp_path: Path) -> None:
    history = fit(new_model(), 7, nn.TensorBoardLog(tmp_path / "runs" / "first", every=2))
    assert curves(tmp_path / "runs" / "first") == expected(history)
    (file,) = (tmp_path / "runs" / "first").iterdir()
    assert len(list(records(file))) == 2 + 7, "version, restart, epochs"


def test_events_are_those_that_tensorboard_would_write(tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    event = event_pb2.Event.FromString(event_file.numbers({"loss": 0.5, "größe": 1e300}, 300, 12.25)[12:-4])
    assert (event.step, event.wall_time) == (300, 12.25)
    assert [(value.tag, value.simple_value) for value in event.summary.value] == [("loss", 0.5), ("größe", np.inf)]
    event = event_pb2.Event.FromString(event_file.restart(2**40, 1.0)[12:-4])
    assert (event.step, event.session_log.status) == (2**40, event_pb2.SessionLog.START)
    assert event_pb2.Event.FromString(event_file.records_from(1.0)[12:-4]).file_version == "brain.Event:2"


def test_points_come_while_training(tmp_path: Path) -> None:
    lengths = []

    class Looking(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            (file,) = tmp_path.iterdir()
            lengths.append(len(list(records(file))) - 2)

    fit(new_model(), 5, nn.TensorBoardLog(tmp_path, every=2), Looking())
    assert lengths == [1, 2, 4, 5]


def test_training_further_continues_the_curves(tmp_path: Path) -> None:
    model, log = new_model(), nn.TensorBoardLog(tmp_path)
    assert curves_after(tmp_path, fit(model, 3, log), fit(model, 2, log))
    train(model, 4)
    fit(model, 1, log)
    assert [epoch for epoch, _ in curves(tmp_path)["loss"]] == [1, 2, 3, 4, 5, 10]


def curves_after(folder: Path, *histories: nn.History) -> bool:
    return curves(folder) == expected(*histories)


@pytest.mark.parametrize("torn", [0, 1, 17])
def test_a_resumed_run_has_the_curves_of_one_that_was_not_stopped(tmp_path: Path, torn: int) -> None:
    class Killed(nn.Callback):
        def on_report(self, run: Any, rows: Any) -> None:
            if run.epoch == 5:
                raise ZeroDivisionError

    def run(*others: nn.Callback) -> nn.History:
        checkpoint = nn.Checkpoint(tmp_path / "checkpoints", every=3, resume=True)
        return fit(new_model(), 8, nn.TensorBoardLog(tmp_path / "log", every=1), checkpoint, *others)

    with pytest.raises(ZeroDivisionError):
        run(Killed())
    (file,) = (tmp_path / "log").iterdir()
    os.truncate(file, file.stat().st_size - torn)
    history = run()
    assert len(history) == 8
    assert curves(tmp_path / "log") == expected(history)


def test_a_full_disk_delays_the_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = nn.TensorBoardLog(tmp_path, every=1)
    write = GrowingFile.write
    attempts = iter([True, True, False, False, True, True])

    def sometimes(growing: GrowingFile, data: bytes) -> None:
        if next(attempts):
            write(growing, data)
        else:
            with open(growing.path, "ab") as file:  # half a record got through
                file.write(data[:9])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(GrowingFile, "write", sometimes)
    with pytest.warns(UserWarning, match="cannot write .*: No space left on device; trying again at the next report"):
        history = fit(new_model(), 5, log)
    assert curves(tmp_path) == expected(history)


def test_what_cannot_be_written_is_said_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    model = new_model()
    with pytest.raises(nn.FileError, match=r"cannot write .*: (File exists|Not a directory)"):
        fit(model, 1, nn.TensorBoardLog(tmp_path / "file"))
    assert model.epoch == 0
    with pytest.raises(nn.ArgumentError, match="TensorBoardLog every 0"):
        nn.TensorBoardLog(tmp_path, every=0)
