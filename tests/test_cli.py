"""The command line: what it does, what it says, and how it ends."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import re
import resource
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.cli.tasks import load_task

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "nnbackend")
NUMBER = r"[\d.e+-]+"
LINE = re.compile(
    rf"epoch: (\d+), acc: {NUMBER}, loss: {NUMBER} \(data_loss: {NUMBER}, reg_loss: {NUMBER}\), lr: {NUMBER}"
)


@pytest.fixture(autouse=True)
def no_backend_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.delenv("NNBACKEND_TRACEBACK", raising=False)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    settings = {"env": environment(), "capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run([*COMMAND, *arguments], **settings)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a command with --json prints."""
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def last(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines printed since the last look."""
    return capsys.readouterr().out.splitlines()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


# -- help ------------------------------------------------------------------------------------------------------------------


def test_help_names_the_commands_and_is_quick() -> None:
    def seconds() -> float:
        """The processor's time, not the clock's: what else the machine is doing must not decide a test."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert shown.returncode == 0
        assert "train" in shown.stdout
        assert "parity" in shown.stdout
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 1


def test_without_arguments_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: nnbackend" in capsys.readouterr().out


def test_help_of_train_has_every_option_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    options = (
        "backend dtype samples classes hidden epochs batch-size optimizer learning-rate decay momentum "
        "weight-decay clip-norm weight-l1 weight-l2 bias-l1 bias-l2 seed print-every history quiet json "
        "binary dropout matmul-precision schedule warmup step-every early-stopping tensorboard class-weights "
        "checkpoint-every"
    )
    assert not [option for option in options.split(" ") if f"--{option} " not in text]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nnbackend {nn.__version__}\n"


# -- train -----------------------------------------------------------------------------------------------------------------


def test_train_says_what_it_uses_and_prints_the_books_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "spiral", "--epochs", "30", "--print-every", "10"]) == 0
    lines = last(capsys)
    assert re.fullmatch(r"backend: cpu \(.*NumPy .*\), float32, the default; see --backend", lines[0])
    assert lines[1] == "spiral: 300 samples with 2 features, classification into 3 classes"
    assert lines[2].startswith(
        "network: Dense(2, 64) with L2(0.0005), ReLU(), Dense(64, 3), Softmax(); Adam(learning_rate=0.02"
    )
    epochs = [LINE.fullmatch(line) for line in lines[3:-2]]
    assert [int(match[1]) for match in epochs if match] == [1, 10, 20, 30]
    assert re.fullmatch(rf"validation, acc: {NUMBER}, loss: {NUMBER} \(300 fresh samples\)", lines[-2])
    assert re.match(r"30 epochs in [\d.]+ s: [\d,]+ steps a second", lines[-1])


def test_train_is_the_run_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = nn.datasets.spiral(100, 3, seed=0)
    l2 = nn.L2(5e-4)
    model = nn.Model(
        [nn.Dense(2, 64, weight_regularizer=l2, bias_regularizer=l2), nn.ReLU(), nn.Dense(64, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.02, decay=5e-7), seed=0,
    )  # fmt: skip
    model.train(X, y, epochs=25, print_every=0)
    found = document(capsys, "train", "spiral", "--epochs", "25")
    assert found["training"] == model.history.row(-1)
    fresh = model.evaluate(*nn.datasets.spiral(100, 3, seed=1))
    assert found["validation"] == {"accuracy": fresh.accuracy, "data_loss": fresh.data_loss, "samples": 300}
    assert (found["steps"], found["model"]["parameters"], found["model"]["seed"]) == (25, 387, 0)
    assert found["backend"]["name"] == "cpu"
    assert found["steps_per_second"] > 0


@pytest.mark.parametrize("backend", ["cpu", "strict", "auto"])
def test_every_backend_trains(capsys: pytest.CaptureFixture[str], backend: str) -> None:
    found = document(capsys, "train", "spiral", "--epochs", "5", "--backend", backend, "--dtype", "float64")
    assert found["training"]["epoch"] == 5
    assert found["backend"]["dtype"] == "float64"
    expected = {"cpu": "as --backend says", "strict": "as --backend says", "auto": "chosen by auto: "}[backend]
    assert found["backend"]["reason"].startswith(expected)


def test_the_environment_chooses_the_backend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNBACKEND", "strict")
    found = document(capsys, "train", "spiral", "--epochs", "2")
    assert (found["backend"]["name"], found["backend"]["reason"]) == ("strict", "as NNBACKEND=strict says")


@pytest.mark.gpu
def test_the_gpu_trains(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "train", "spiral", "--epochs", "5", "--backend", "gpu")["backend"]["name"] == "gpu"


SETTINGS = [
    (["vertical"], "classification", ["Dense(2, 64)", "ReLU()", "Dense(64, 3)", "Softmax()"], "CategoricalCrossentropy()"),
    (["spiral", "--classes", "5", "--samples", "20"], "classification", ["Dense(2, 64)", "ReLU()", "Dense(64, 5)", "Softmax()"],
     "CategoricalCrossentropy()"),
    (["spiral", "--binary"], "binary classification", ["Dense(2, 64)", "ReLU()", "Dense(64, 1)", "Sigmoid()"],
     "BinaryCrossentropy()"),
    (["spiral", "--hidden", "8", "--hidden", "4", "--dropout", "0.1"], "classification",
     ["Dense(2, 8)", "ReLU()", "Dropout(0.1)", "Dense(8, 4)", "ReLU()", "Dropout(0.1)", "Dense(4, 3)", "Softmax()"],
     "CategoricalCrossentropy()"),
    (["sine"], "regression", ["Dense(1, 64)", "ReLU()", "Dense(64, 64)", "ReLU()", "Dense(64, 1)", "Linear()"],
     "MeanSquaredError()"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "kind", "layers", "loss"), SETTINGS, ids=[" ".join(row[0]) for row in SETTINGS])
def test_the_task_decides_the_network(
    capsys: pytest.CaptureFixture[str], arguments: list[str], kind: str, layers: list[str], loss: str
) -> None:
    found = document(capsys, "train", *arguments, "--epochs", "3")
    assert found["data"]["task"] == kind
    assert (found["model"]["layers"], found["model"]["loss"]) == (layers, loss)
    assert ("mean_absolute_error" in found["validation"]) == (kind == "regression")


ADAMW = "AdamW(learning_rate=0.02, decay=5e-07, epsilon=1e-07, beta_1=0.9, beta_2=0.999, weight_decay=0.1, clip_norm=2)"


@pytest.mark.parametrize(
    ("arguments", "optimizer"),
    [
        ([], "Adam(learning_rate=0.02, decay=5e-07, epsilon=1e-07, beta_1=0.9, beta_2=0.999)"),
        (["--learning-rate", "0.05", "--decay", "5e-5"], "Adam(learning_rate=0.05, decay=5e-05,"),
        (["--optimizer", "sgd"], "SGD(learning_rate=1, decay=0.001, momentum=0.9)"),
        (["--optimizer", "adamw", "--weight-decay", "0.1", "--clip-norm", "2"], ADAMW),
        (["--optimizer", "sgd", "--momentum", "0"], "SGD(learning_rate=1, decay=0.001, momentum=0)"),
        (["--optimizer", "adagrad"], "Adagrad(learning_rate=1, decay=0.0001, epsilon=1e-07)"),
        (["--optimizer", "rmsprop", "--decay", "0"], "RMSprop(learning_rate=0.02, decay=0, rho=0.9, epsilon=1e-07)"),
    ],
)
def test_optimizers(capsys: pytest.CaptureFixture[str], arguments: list[str], optimizer: str) -> None:
    found = document(capsys, "train", "spiral", "--epochs", "2", *arguments)
    assert found["model"]["optimizer"].startswith(optimizer)


def test_penalties_are_on_hidden_layers_only(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--weight-l1", "1e-4", "--weight-l2", "0", "--bias-l1", "2e-4", "--bias-l2", "3e-4"]
    assert main(["train", "spiral", "--epochs", "1", *settings]) == 0
    assert (
        "Dense(2, 64) with L1(0.0001) and L1L2(l1=0.0002, l2=0.0003), ReLU(), Dense(64, 3), Softmax()"
        in last(capsys)[2]
    )
    assert main(["train", "sine", "--epochs", "1"]) == 0
    assert "with" not in last(capsys)[2]


def test_a_seed_gives_the_same_run_and_another_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    losses = [
        document(capsys, "train", "spiral", "--epochs", "3", "--batch-size", "64", "--seed", seed)["training"]["loss"]
        for seed in ("1", "1", "2")
    ]
    assert losses[0] == losses[1] != losses[2]


def test_fresh_data_are_fresh() -> None:
    spiral = load_task("spiral", samples=None, classes=None, binary=False, seed=2**32 - 1)
    assert (spiral.training[0] != spiral.fresh[0]).any()
    sine = load_task("sine", samples=10, classes=None, binary=False, seed=0)
    assert sine.fresh[0].ravel().tolist() == pytest.approx([0.05 + 0.1 * step for step in range(10)])


@pytest.mark.parametrize("seed", [0, 3])
def test_the_books_run_learns_the_spiral(capsys: pytest.CaptureFixture[str], seed: int) -> None:
    found = document(capsys, "train", "spiral", "--seed", str(seed))
    assert found["training"]["epoch"] == 10_000
    assert found["training"]["loss"] < 0.36
    assert found["validation"]["accuracy"] > 0.72


def test_the_sine_is_fitted(capsys: pytest.CaptureFixture[str]) -> None:
    """By most of five: where so few epochs end is a matter of rounding (0.002 to 0.024 over seeds, kernels and the reference)."""
    errors = []
    for seed in range(5):
        found = document(capsys, "train", "sine", "--epochs", "500", "--samples", "300", "--seed", str(seed))
        errors.append(found["validation"]["mean_absolute_error"])
    assert statistics.median(errors) < 0.02


# -- what is printed where -------------------------------------------------------------------------------------------------


def test_quiet_prints_the_final_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "spiral", "--epochs", "20", "--quiet"]) == 0
    lines = last(capsys)
    assert [line.split(",")[0].split(" ")[0] for line in lines] == ["training", "validation", "20"]
    assert re.match(rf"training, acc: {NUMBER}, loss: {NUMBER} \(data_loss", lines[0])


def test_print_every_zero_prints_no_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "spiral", "--epochs", "20", "--print-every", "0"]) == 0
    assert not [line for line in last(capsys) if line.startswith("epoch")]


def test_only_epochs_that_are_due_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the table on the device is full before: that fetches, and prints nothing."""
    monkeypatch.setattr("nnbackend.training.RECORDS", 7)
    assert main(["train", "spiral", "--epochs", "45", "--print-every", "20"]) == 0
    assert [int(match[1]) for match in map(LINE.match, last(capsys)) if match] == [1, 20, 40, 45]


def test_history_holds_every_epoch(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    assert main(["train", "spiral", "--epochs", "12", "--history", str(path)]) == 0
    rows = rows_of(path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[0]["learning_rate"]) == 0.02


def test_no_transfer_inside_a_step_and_one_a_printed_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 epochs on the pretend GPU: data in, ten lines and the first one out, validation."""
    xp = nn.get_backend("strict")
    before = xp.transfers.calls_out
    assert main(["train", "spiral", "--epochs", "1000", "--backend", "strict"]) == 0
    lines = len([line for line in last(capsys) if line.startswith("epoch")])
    assert lines == 11
    assert xp.transfers.calls_out - before <= lines + 8


# -- a terminal ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program on a terminal of its own; gives the process, and where its screen can be read."""
    pty = pytest.importorskip("pty")
    screen, line = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=line, stdout=line, stderr=line,
        env=environment(TERM="xterm", COLUMNS="100"), close_fds=True,
    ) as process:  # fmt: skip
        os.close(line)
        try:
            yield process, screen
        finally:
            process.kill()
            os.close(screen)


def read_all(screen: int, seconds: float = 60) -> str:
    """Everything until the program has ended."""
    text, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 0.2)[0]:
            continue
        try:
            chunk = os.read(screen, 65536)
        except OSError:  # Linux says EIO where others say the end
            break
        if not chunk:
            break
        text += chunk
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.decode())  # without colours and movements


def test_a_terminal_shows_progress_with_rate_and_time_left() -> None:
    with terminal("train", "spiral", "--epochs", "4000", "--print-every", "1000") as (process, screen):
        text = read_all(screen)
        assert process.wait(30) == 0
    assert re.search(r"[\d,]+ steps/s", text)
    assert re.search(r"\d:\d\d left", text)
    assert re.search(r"epoch: 3000, acc", text)
    assert "validation, acc" in text


def test_no_bar_where_there_is_no_terminal() -> None:
    finished = run("train", "spiral", "--epochs", "300")
    assert finished.returncode == 0
    assert "steps/s" not in finished.stdout + finished.stderr
    assert "\x1b" not in finished.stdout


# -- how it ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_its_history(tmp_path: Path, number: signal.Signals, status: int) -> None:
    path = tmp_path / "run.csv"
    process = subprocess.Popen(
        [*COMMAND, "train", "spiral", "--epochs", "100000000", "--print-every", "50", "--history", str(path)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch: 50,"):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    match = re.fullmatch(
        r"nnbackend: interrupted after ([\d,]+) of 100,000,000 epochs; their history is in .*run.csv\n", err
    )
    assert match
    rows = rows_of(path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, int(match[1].replace(",", "")) + 1))
    assert len(rows) >= 50


def test_a_run_that_diverges_names_the_step_and_keeps_its_history(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.csv"
    assert main(["train", "spiral", "--learning-rate", "1e30", "--history", str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"nnbackend: the loss became (NaN|infinite) at step 2 \(epoch 2\): .*\n", err)
    assert len(rows_of(path)) == 1


def test_nobody_reads_the_output() -> None:
    process = subprocess.Popen(
        [*COMMAND, "train", "spiral", "--epochs", "100000000", "--print-every", "10"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, a disk that is always full")
class TestFullDisk:
    def test_of_the_output(self) -> None:
        with open("/dev/full", "w") as full:
            finished = run(
                "train", "spiral", "--epochs", "5", capture_output=False, stdout=full, stderr=subprocess.PIPE
            )
        assert finished.returncode == 1
        assert finished.stderr == "nnbackend: the output could not be written: the disk is full\n"

    def test_of_the_history(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def full(*arguments: Any) -> None:
            raise nn.FileError("cannot write it") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(nn.History, "to_csv", full)
        path = tmp_path / "run.csv"
        assert main(["train", "spiral", "--epochs", "5", "--history", str(path)]) == 1
        out, err = capsys.readouterr()
        assert "validation, acc" in out  # the figures are not lost
        assert err == f"nnbackend: {path} could not be written: the disk is full\n"


@pytest.mark.parametrize("option", ["--save", "--history"])
def test_a_file_that_may_not_grow_is_a_failed_run(tmp_path: Path, option: str) -> None:
    """As of a quota or `ulimit -f`: the system refuses in the middle of the file, and nothing is left of it."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "file"
    finished = run(
        "train", "spiral", "--epochs", "50", option, str(path), "--quiet",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )  # fmt: skip
    assert finished.returncode == 1
    assert finished.stderr.startswith("nnbackend: ")
    assert str(path) in finished.stderr
    assert finished.stderr.endswith("File too large\n")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_stderr_is_no_reason_to_fail() -> None:
    finished = run("train", "spiral", "--epochs", "5", preexec_fn=lambda: os.close(2), capture_output=False,
                   stdout=subprocess.PIPE)  # fmt: skip
    assert finished.returncode == 0
    assert "validation, acc" in finished.stdout


def test_a_closed_stdout_is_said_before_anything_is_done(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    finished = run("train", "spiral", "--epochs", "5", "--history", str(path), preexec_fn=lambda: os.close(1),
                   capture_output=False, stderr=subprocess.PIPE)  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr == (
        "nnbackend: stdout is closed, so nobody would see the results: redirect it, as with > /dev/null\n"
    )
    assert not path.exists()


def test_a_fault_of_ours_is_a_sentence_and_a_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*arguments: Any, **settings: Any) -> None:
        raise RuntimeError("a wheel came off\nand rolled away")

    monkeypatch.setattr("nnbackend.cli.train.data.load_task", fault)
    assert main(["train", "spiral"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("nnbackend: a fault in nnbackend itself, RuntimeError: a wheel came off; please report it")
    assert err.count("\n") == 1
    monkeypatch.setenv("NNBACKEND_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a wheel came off"):
        main(["train", "spiral"])


# -- profile ---------------------------------------------------------------------------------------------------------------


def test_profile(capsys):
    """By phase, layer and op; a step's sum; and the same as a document."""
    arguments = ["train", "spiral", "--epochs", "3", "--print-every", "0", "--profile"]
    assert main(arguments) == 0
    lines = last(capsys)
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("where a step's time goes")) :]
    assert table[1].split() == ["phase", "layer", "op", "runs", "time", "share"]
    assert {line.split()[0] for line in table[2:-1]} == {"forward", "backward", "update", "step"}
    assert re.fullmatch(
        r"forward +all of it +[\d.]+ (ns|µs|ms) +\d+%", next(line for line in table if "all of it" in line)
    )
    assert table[-1].startswith("a step of this run took")
    found = document(capsys, *arguments, "--kernels", "reference", "--batch-size", "50")["profile"]
    assert found["batch"] == 50
    assert {op["implementation"] for op in found["ops"]} == {"reference"}
    assert {op["phase"] for op in found["ops"]} == {"batch", "forward", "backward", "update"}
    assert abs(sum(op["share"] for op in found["ops"]) - 1) < 1e-9
