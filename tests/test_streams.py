"""Samples that stay on the host: the same batches, so the same bits, with one upload a batch and nothing else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend import streams
from nnbackend.backend import memory
from nnbackend.backend.uploads import PinnedUpload
from nnbackend.streams import HostRows

X, Y = nn.datasets.spiral(samples=33, classes=3, seed=0)
X_VAL, Y_VAL = nn.datasets.spiral(samples=20, classes=3, seed=1)


def model_on(xp: Any, **settings: Any) -> nn.Model:
    layers = [
        nn.Dense(2, 16, weight_regularizer=nn.L2(1e-3)),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Dense(16, 3),
        nn.Softmax(),
    ]
    return nn.Model(layers, loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02), backend=xp, seed=3, **settings)


@pytest.mark.parametrize("batch_size", [1, 16, 33, 99, None])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_streamed_run_has_the_same_bits(xp, batch_size, shuffle):
    settings: dict[str, Any] = {
        "epochs": 2 if batch_size == 1 else 4, "batch_size": batch_size, "shuffle": shuffle, "print_every": 0,
    }  # fmt: skip
    resident, streamed = model_on(xp), model_on(xp)
    expected = resident.train(X, Y, validation_data=(X_VAL, Y_VAL), stream=False, **settings)
    found = streamed.train(X, Y, validation_data=(HostRows(X_VAL), Y_VAL), stream=True, **settings)
    assert {name: list(column) for name, column in found.items()} == {
        name: list(column) for name, column in expected.items()
    }
    for name, values in resident.parameters().items():
        np.testing.assert_array_equal(streamed.parameters()[name], values, err_msg=name)
    assert streamed.evaluate(X, Y, stream=True, batch_size=40) == resident.evaluate(X, Y, batch_size=40)
    np.testing.assert_array_equal(streamed.predict(HostRows(X), batch_size=40), resident.predict(X, batch_size=40))


def test_layers_of_ones_own_and_unfused(xp):
    class Own(nn.ReLU):
        """Makes no promise to use ops alone."""

    for make in (lambda: [nn.Dense(2, 5), Own(), nn.Dense(5, 3), nn.Softmax()],):
        runs = []
        for stream in (False, True):
            model = nn.Model(
                make(), loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(), backend=xp, seed=0, fused=False
            )
            runs.append(list(model.train(X, Y, epochs=3, batch_size=10, print_every=0, stream=stream)["loss"]))
    assert runs[0] == runs[1]


def test_one_upload_for_inputs_and_one_for_targets_a_batch(xp):
    model = model_on(xp)
    model.train(X, Y, epochs=1, batch_size=10, print_every=0, stream=True)
    before, size = xp.transfers.calls_in, xp.transfers.bytes_in
    model.train(X, Y, epochs=1, batch_size=10, print_every=0, stream=True)
    assert xp.transfers.calls_in - before == 2 * 10  # nine batches of ten and one of nine
    assert xp.transfers.bytes_in - size == X.size * xp.dtype.itemsize + len(Y) * 8


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int64"])
def test_files_mapped_into_memory(xp, tmp_path, kind):
    values = (np.random.default_rng(0).random((50, 2)) * 100).astype(kind)
    np.save(tmp_path / "X.npy", values)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(50) % 3
    runs = [
        list(model_on(xp).train(data, y, epochs=3, batch_size=8, print_every=0, stream=stream)["loss"])
        for data, stream in ((values, False), (mapped, True), (mapped, None))
    ]
    assert runs[0] == runs[1] == runs[2]


def test_what_does_not_fit_is_streamed(xp, monkeypatch, tmp_path):
    """By itself: an array that would have to be copied to the device, and any file mapped into memory."""
    monkeypatch.setattr(streams, "SMALL", 0)
    monkeypatch.setattr(xp, "free_memory", lambda: 2 * X.size * xp.dtype.itemsize - 1)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(streams.rows_to_stream(xp, mapped, None), HostRows)
    other = X.astype("float64" if xp.dtype == "float32" else "float32")
    assert isinstance(streams.rows_to_stream(xp, other, None), HostRows)
    assert streams.rows_to_stream(xp, other, False) is None
    monkeypatch.setattr(xp, "free_memory", lambda: 2 * X.size * xp.dtype.itemsize)
    assert streams.rows_to_stream(xp, mapped, None) is None
    monkeypatch.setattr(xp, "free_memory", lambda: None)
    assert streams.rows_to_stream(xp, mapped, None) is None
    expected = model_on(xp).predict(X)
    monkeypatch.setattr(xp, "free_memory", lambda: 1)
    np.testing.assert_allclose(model_on(xp).predict(mapped, batch_size=99), expected, rtol=1e-5)


@pytest.mark.parametrize("order", [True, False])
def test_a_bad_number_is_named_by_its_row(xp, order):
    bad = X.copy()
    bad[70, 1] = np.nan
    with pytest.raises(nn.DataError, match=r"row 70 of X holds NaN, infinity or a number too large for float"):
        model_on(xp).train(bad, Y, batch_size=16, shuffle=order, print_every=0, stream=True)
    with pytest.raises(nn.DataError, match=r"row 70 of X holds NaN"):
        model_on(xp).predict(HostRows(bad), batch_size=16)
    with pytest.raises(nn.DataError, match=r"validation_data: row 70 of X holds NaN"):
        model_on(xp).train(X, Y, validation_data=(HostRows(bad), Y), batch_size=16, shuffle=order, print_every=0)
    with pytest.raises(nn.DataError, match=r"row 70 of X holds NaN"):
        model_on(xp).evaluate(HostRows(bad), Y, batch_size=16)


def test_wrong_input():
    model = model_on("cpu")
    with pytest.raises(nn.ArgumentError, match=r"stream=True with X as a list: expected a NumPy array"):
        model.train(X.tolist(), Y, stream=True)
    with pytest.raises(nn.DataError, match=r"X has shape \(99, 3\): the first layer expects 2 features"):
        model.train(np.zeros((99, 3), "float32"), Y, stream=True)
    with pytest.raises(nn.DataError, match=r"X has 99 samples but y has 5 entries"):
        model.train(X, Y[:5], stream=True)
    many = np.zeros((streams.STREAMED_BATCH + 1, 2), "float32")
    with pytest.raises(
        nn.ArgumentError, match=r"batch_size None with 8193 samples that are streamed: .*batch_size such as 128"
    ):
        model.train(many, np.zeros(len(many), int), stream=True)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    model = model_on("cpu")
    model.train(X, Y, epochs=2, batch_size=16, print_every=0, stream=True)
    bad = X.copy()
    bad[:, 0] = np.inf
    with pytest.raises(nn.DataError):
        model.train(bad, Y, epochs=2, batch_size=16, print_every=0, stream=True)
    assert threading.active_count() == before


def test_free_memory(monkeypatch, tmp_path):
    """The machine's, or what is left of a container's share; files that are merely remembered do not count."""
    free = memory.free_host_memory()
    assert free is None or free > 2**20
    share = tmp_path
    (share / "memory.max").write_text("3000000\n")
    (share / "memory.current").write_text("2000000\n")
    (share / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    monkeypatch.setattr(memory, "_CONTAINER", ((str(share), "memory.max", "memory.current"),))
    assert memory.free_host_memory() == 1_500_000
    (share / "memory.max").write_text("max\n")
    assert memory.free_host_memory() != 1_500_000


# -- the order of events on a GPU, on stand-ins that write down what is asked of them ---------------------------------------


class Log:
    """A stream that writes down what it is asked, and events that know when they were recorded."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines, self.count = name, lines, 0

    def record(self) -> Any:
        self.count += 1
        event = f"{self.name}{self.count}"
        self.lines.append(f"record {event}")
        return SimpleNamespace(name=event, synchronize=lambda: self.lines.append(f"host waits for {event}"))

    def wait_event(self, event: Any) -> None:
        self.lines.append(f"{self.name} waits for {event.name}")


def test_the_order_of_copies_and_steps():
    lines: list[str] = []
    compute, copies = Log("compute", lines), Log("copy", lines)
    array = SimpleNamespace(set=lambda host, stream: lines.append(f"copy {host[0]:g} on {stream.name}"), nbytes=8)
    xp = nn.get_backend("cpu")
    fake = SimpleNamespace(
        empty=lambda shape, dtype: array, transfers=xp.transfers, device_scope=xp.device_scope, op_scope=xp.op_scope
    )
    cupy = SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: compute))
    upload = PinnedUpload(fake, (1,), np.dtype("float64"), cupy=cupy, stream=copies, pinned=np.empty)
    for value in (1.0, 2.0):
        upload.refill(lambda out, value=value: out.fill(value))
        upload.wait()
        lines.append(f"step on {value:g}")
        upload.used()
    assert lines == [
        "record compute1",
        "copy waits for compute1",
        "copy 1 on copy",
        "record copy1",
        "compute waits for copy1",
        "step on 1",
        "record compute2",
        "host waits for copy1",  # before the pinned memory is filled again
        "copy waits for compute2",  # before the array is overwritten
        "copy 2 on copy",
        "record copy2",
        "compute waits for copy2",
        "step on 2",
        "record compute3",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what the process used")
def test_a_file_larger_than_what_may_be_used_is_trained_on(tmp_path: Path):
    """A process that may take 200 MB more than it has trains on a file of 600 MB: it is never in memory as a whole."""
    import subprocess

    rows = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype="float64", shape=(750_000, 100))
    rows[:, 0] = 1.0
    rows.flush()
    np.save(tmp_path / "y.npy", np.arange(750_000) % 2)
    code = """
import resource
import numpy as np
import nnbackend as nn
model = nn.Model([nn.Dense(100, 2), nn.Softmax()], loss=nn.CategoricalCrossentropy(), optimizer=nn.SGD(0.01), seed=0)
X, y = np.load("X.npy", mmap_mode="r"), np.load("y.npy")
model.train(X[:1000], y[:1000], batch_size=100, print_every=0, stream=True)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 200_000_000, used + 200_000_000))
history = model.train(X, y, epochs=1, batch_size=5000, print_every=0, stream=True)
print(model.evaluate(X, y, stream=True).loss > 0, len(model.predict(X[:10])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.returncode) == ("True 10\n", 0), done.stderr
