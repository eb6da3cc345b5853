"""A run that is killed at random moments, and resumed, ends like one that was not: in the same bytes.

    python -m tests.kills --kills 200

trains a small network with a checkpoint after every epoch, in a process that is killed (kill -9) again and again, so that
many kills fall into the writing of a file. At the end its model file and its log are compared with those of a process
that nobody disturbed and that wrote no checkpoints. `test_checkpoints.py` does the same with ten kills.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nnbackend as nn

ROOT = Path(__file__).resolve().parent.parent
LONGEST_LIFE = 0.1  # seconds from a sign of life to a kill, at most
EARLY_KILLS = 0.2  # the share of kills that may come before the first epoch has ended: kernels are loaded in it


class Signs(nn.Callback):
    """Signs of life for the process that will kill this one: a line when it has resumed, and one after its first epoch."""

    def on_train_begin(self, run: nn.training.TrainingRun) -> None:
        """The first sign."""
        print(f"resumed at {run.epoch}", flush=True)
        self._quiet = False

    def on_epoch(self, run: nn.training.TrainingRun) -> None:
        """The second."""
        if not self._quiet:
            print("first epoch", flush=True)
            self._quiet = True


def train(folder: Path, epochs: int, backend: str, kernels: str, *, checkpoints: bool) -> None:
    """The run: everything that a checkpoint must not lose is in it."""
    X, y = nn.datasets.spiral(samples=20, classes=3, seed=0)
    model = nn.Model(
        [nn.Dense(2, 16, weight_regularizer=nn.L2(5e-4)), nn.ReLU(), nn.Dropout(0.1), nn.Dense(16, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.AdamW(0.02, decay=1e-4, clip_norm=0.2),
        backend=nn.get_backend(backend, kernels=kernels),
        seed=0,
    )
    callbacks: list[nn.Callback] = [
        Signs(),
        nn.EarlyStopping("validation_loss", patience=epochs),
        nn.CosineSchedule(0.02, epochs=epochs, warmup=3),
        nn.CSVLog(folder / "log.csv"),
        nn.StopOnNonFinite(every=2),
    ]
    if checkpoints:
        callbacks.append(nn.Checkpoint(folder / "checkpoints", every=1, keep=2, resume=True))
    fresh = nn.datasets.spiral(samples=10, classes=3, seed=1)
    weights = {"class_weights": {0: 2.0}, "sample_weights": 1 + X[:, 0] ** 2}
    model.train(
        X, y, epochs=epochs, batch_size=16, validation_data=fresh, print_every=0, callbacks=callbacks, **weights
    )
    model.save(folder / "model.safetensors")


def start(folder: Path, epochs: int, *options: str) -> subprocess.Popen[str]:
    """The run in a process of its own, in which a warning (say of a damaged file) is an error."""
    program = [sys.executable, "-W", "error", "-m", "tests.kills", "--child", str(folder)]
    return subprocess.Popen([*program, "--epochs", str(epochs), *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Let it run to its end."""
    process.communicate()
    if process.returncode:
        raise RuntimeError(f"a resumed run ended with status {process.returncode}")


def kill_and_resume(folder: Path, epochs: int, kills: int, *options: str) -> list[int]:
    """Kill the run at random moments, then let it end. Returns the epochs that it was resumed from."""
    moments, resumed = random.Random(0), []
    for _ in range(kills):
        process = start(folder, epochs, *options)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            finish(process)
        resumed.append(int(line.removeprefix("resumed at ")))
        if moments.random() > EARLY_KILLS:
            process.stdout.readline()
        time.sleep(moments.uniform(0, LONGEST_LIFE))
        process.kill()
        process.communicate()
    finish(start(folder, epochs, *options))
    return resumed


def compare(folder: Path, epochs: int, kills: int, *options: str) -> tuple[list[int], list[str]]:
    """The epochs resumed from, and the names of files that differ from those of an undisturbed run: none, it is hoped."""
    for name in ("killed", "undisturbed"):
        (folder / name).mkdir()
    resumed = kill_and_resume(folder / "killed", epochs, kills, *options)
    finish(start(folder / "undisturbed", epochs, *options, "--no-checkpoints"))
    names = ("model.safetensors", "log.csv")
    files = {name: [(folder / run / name).read_bytes() for run in ("killed", "undisturbed")] for name in names}
    return resumed, [name for name, (killed, undisturbed) in files.items() if killed != undisturbed]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, metavar="N")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: as many as the kills take")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--kernels", default="auto")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--no-checkpoints", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    epochs = options.epochs or 60 + 4 * options.kills
    if options.child:
        train(options.child, epochs, options.backend, options.kernels, checkpoints=not options.no_checkpoints)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        resumed, different = compare(
            Path(folder), epochs, options.kills, "--backend", options.backend, "--kernels", options.kernels
        )
    early = sum(epoch < epochs for epoch in resumed)
    print(f"{options.kills} kills, {early} of them before the end, at epochs {resumed[1]} to {resumed[-1]} of {epochs}")
    print(f"different: {', '.join(different)}" if different else "model file and log are the same, to the byte")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
