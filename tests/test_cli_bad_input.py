"""Whatever is wrong on the command line gets one sentence on stderr and the right status, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnbackend.cli import main
from tests.test_cli import environment

# Arguments, the status, and a part of the sentence: the value, what was expected or what to do.
WRONG: list[tuple[str, int, str]] = [
    # the command
    ("trian", 2, "unknown command 'trian': did you mean 'train'?"),
    ("learn", 2, "unknown command 'learn': Known: "),
    ("--bogus", 2, "unknown option '--bogus'; see nnbackend --help"),
    ("train", 2, "missing argument"),
    ("train spiral extra", 2, "unexpected argument 'extra'; see nnbackend train --help"),
    ("train spiral --epoch 5", 2, "unknown option '--epoch': did you mean '--epochs'? See nnbackend train --help"),
    ("train spiral --epochs", 2, "option '--epochs' requires an argument; see nnbackend train --help"),
    ("train spiral --quiet=3", 2, "option '--quiet' does not take a value; see nnbackend train --help"),
    ("train spiral --lr 0.1", 2, "unknown option '--lr': did you mean '--learning-rate'? See nnbackend train --help"),
    ("train spiral --bs=32", 2, "unknown option '--bs': did you mean '--batch-size'? See nnbackend train --help"),
    ("train spiral -epochs 5", 2, "unknown option '-epochs': did you mean '--epochs'? See nnbackend train --help"),
    ("train spiral --zzz 5", 2, "unknown option '--zzz'; see nnbackend train --help"),
    ("train spirall", 2, "unknown data set 'spirall': did you mean 'spiral'?"),
    ("parity spiral", 2, "unexpected argument 'spiral'; see nnbackend parity --help"),
    ("train spiral --samples 100000000000", 2, "300000000000 samples: 13,411.0 GiB needed, and this machine has"),
    ("train spiral --hidden 1000000000000", 2, "GiB needed, and backend 'cpu' has"),
    # words
    ("train spiral --backend gpuu", 2, "unknown backend 'gpuu': did you mean 'gpu'?"),
    ("train spiral --backend cpu:1", 2, "the CPU has no device number"),
    ("train spiral --backend gpu:x", 2, "unknown backend 'gpu:x'"),
    ("train spiral --dtype float16", 2, "unknown dtype 'float16': expected one of float32, float64"),
    ("train spiral --optimizer addam", 2, "unknown optimizer 'addam': did you mean 'adam'?"),
    ("parity --backend strikt", 2, "did you mean 'strict'?"),
    ("parity --dtype single", 2, "unknown dtype 'single'"),
    ("parity --kernels some", 2, "unknown kernel mode 'some'"),
    # numbers
    ("train spiral --epochs five", 2, "--epochs 'five': expected a whole number"),
    ("train spiral --epochs=1.5", 2, "--epochs '1.5': expected a whole number"),
    ("train spiral --learning-rate fast", 2, "--learning-rate 'fast': expected a number"),
    ("train spiral --epochs 0", 2, "epochs 0: expected a whole number of at least 1"),
    ("train spiral --epochs -1", 2, "epochs -1: expected a whole number of at least 1"),
    ("train spiral --hidden 8 --hidden eight", 2, "--hidden 'eight': expected a whole number"),
    ("train spiral --hidden \udcff", 2, "--hidden '\\udcff': expected a number; see nnbackend train --help"),
    ("train spiral --print-every -1 --quiet", 2, "print_every -1: expected a whole number of at least 0"),
    ("train spiral --print-every -1", 2, "print_every -1: expected a whole number of at least 0"),
    ("train spiral --batch-size 0", 2, "batch_size 0: expected a whole number of at least 1"),
    ("train spiral --batch-size 1000", 2, "batch_size 1000 is larger than the data"),
    ("train spiral --samples 0", 2, "samples 0: expected a whole number of at least 1"),
    ("train spiral --samples -3", 2, "samples -3: expected a whole number of at least 1"),
    ("train spiral --classes 0", 2, "classes 0: expected a whole number of at least 1"),
    ("train spiral --hidden 0", 2, "n_neurons 0: expected a whole number of at least 1"),
    ("train spiral --hidden 8 --hidden -8", 2, "n_neurons -8: expected a whole number of at least 1"),
    ("train spiral --learning-rate 0", 2, "learning_rate 0.0: expected a finite number above 0"),
    ("train spiral --learning-rate -0.1", 2, "learning_rate -0.1: expected a finite number above 0"),
    ("train spiral --learning-rate nan", 2, "learning_rate nan: expected a finite number above 0"),
    ("train spiral --learning-rate inf", 2, "learning_rate inf: expected a finite number above 0"),
    ("train spiral --decay -1", 2, "decay -1.0: expected a finite number of at least 0"),
    ("train spiral --decay nan", 2, "decay nan: expected a finite number of at least 0"),
    ("train spiral --optimizer sgd --momentum 1", 2, "momentum 1.0: expected a number from 0 up to"),
    ("train spiral --optimizer sgd --momentum nan", 2, "momentum nan: expected a number from 0 up to"),
    ("train spiral --weight-l1 -1", 2, "l1 -1.0: expected a finite number of at least 0"),
    ("train spiral --weight-l2 nan", 2, "l2 nan: expected a finite number of at least 0"),
    ("train spiral --bias-l1 inf", 2, "l1 inf: expected a finite number of at least 0"),
    ("train spiral --bias-l2 -0.5", 2, "l2 -0.5: expected a finite number of at least 0"),
    ("train spiral --dropout 1", 2, "Dropout rate 1.0: expected a number from 0 up to"),
    ("train spiral --dropout -0.1", 2, "Dropout rate -0.1: expected a number from 0 up to"),
    ("train spiral --dropout nan", 2, "Dropout rate nan: expected a number from 0 up to"),
    ("train spiral --seed -1", 2, "seed -1: expected an integer from 0 to 2**32 - 1"),
    ("train spiral --seed 4294967296", 2, "seed 4294967296: expected an integer from 0 to 2**32 - 1"),
    ("train sine --seed -1", 2, "seed -1: expected an integer from 0 to 2**64 - 1"),
    ("parity --steps 0", 2, "steps 0: expected a whole number of at least 1"),
    ("parity --steps many", 2, "--steps 'many': expected a whole number"),
    # settings that do not go together
    ("train spiral --momentum 0.5", 2, "--momentum 0.5 is for --optimizer sgd: adam has none"),
    ("train spiral --weight-decay 0.5", 2, "--weight-decay 0.5 is for --optimizer adamw: adam has none"),
    ("train spiral --schedule cosin", 2, "unknown schedule 'cosin': did you mean 'cosine'?"),
    ("train spiral --warmup 5", 2, "--warmup 5 is for --schedule cosine: add it, or leave --warmup out"),
    ("train spiral --schedule cosine --step-every 5", 2, "--step-every 5 is for --schedule step: add it"),
    (
        "train spiral --epochs 5 --schedule cosine --warmup 5",
        2,
        "CosineSchedule warmup 5: expected fewer than its epochs",
    ),
    ("train spiral --early-stopping 0", 2, "early_stopping 0: expected a whole number of at least 1"),
    ("train spiral --checkpoint-every 5", 2, "--checkpoint-every needs --checkpoint FOLDER: where to keep them"),
    ("train spiral --class-weights 0=-1", 2, "--class-weights '0=-1': expected 'balanced', or a class and a number"),
    ("train spiral --class-weights balanced,2", 2, "--class-weights 'balanced,2': expected 'balanced', or a class"),
    ("train spiral --class-weights even", 2, "--class-weights 'even': expected 'balanced', or a class and a number"),
    ("train spiral --class-weights 3=1", 2, "--class-weights '3=1': unknown class '3'"),
    ("train sine --class-weights 0=1", 2, "--class-weights 0=1 is for classification, and sine is a regression"),
    ("train spiral --clip-norm 0", 2, "clip_norm 0.0: expected a finite number above 0"),
    ("train spiral --binary --classes 3", 2, "expected --classes 2, not 3"),
    ("train sine --binary", 2, "--binary is for classification, and the sine is a regression"),
    ("train sine --classes 3", 2, "--classes is for classification, and the sine is a regression"),
    # files
    ("train spiral --history NOWHERE/run.csv", 2, "NOWHERE/run.csv cannot be written (No such file or directory)"),
    ("train spiral --history FOLDER", 2, "FOLDER cannot be written (Is a directory)"),
    (f"train spiral --history {'x' * 300}", 2, "cannot be written (File name too long)"),
    (f"train spiral --plot {'x' * 300}.png", 2, "cannot be written (File name too long)"),
    (f"train spiral --checkpoint {'x' * 300}", 2, "File name too long"),
    ("train spiral --checkpoint FILE", 2, "cannot use FILE for checkpoints: File exists; it is a file, name a folder"),
    ("train spiral --checkpoint=", 2, "--checkpoint is empty: expected a value; see nnbackend train --help"),
    ("train spiral --json --history /dev/null", 2, "--history /dev/null is a device or a pipe: name a file"),
    ("train spiral --save PIPE", 2, "--save PIPE is a device or a pipe: name a file"),
    ("train spiral --save run --history run", 2, "--save and --history both name run: give each a file of its own"),
    ("parity --plot NOWHERE/run.png", 2, "NOWHERE/run.png cannot be written (No such file or directory)"),
    ("parity --plot run.xyz", 2, "run.xyz: pictures are not written as 'xyz': use .png, .svg or .pdf"),
    ("parity --plot run", 2, "use .png, .svg or .pdf"),
    # a run that fails
    (
        "train spiral --bias-l2 1e300",
        1,
        "at step 1 (epoch 1): its penalties alone are, so try smaller strengths l1 and l2",
    ),
    ("train spiral --learning-rate 1e30", 1, "at step 2 (epoch 2): try a smaller learning rate than 1e+30"),
    ("train sine --learning-rate 1e300 --dtype float64", 1, "at step 2 (epoch 2)"),
]


@pytest.mark.parametrize(("arguments", "status", "part"), WRONG, ids=[row[0] for row in WRONG])
def test_wrong_input_gets_a_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: str,
    status: int,
    part: str,
) -> None:
    monkeypatch.delenv("NNBACKEND", raising=False)
    monkeypatch.delenv("NNBACKEND_TRACEBACK", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FOLDER").mkdir()
    (tmp_path / "FILE").touch()
    os.mkfifo(tmp_path / "PIPE")
    assert main(arguments.split()) == status
    err = capsys.readouterr().err
    assert part in err
    assert err.startswith("nnbackend: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["FILE", "FOLDER", "PIPE"], "a refused run leaves nothing behind"


@pytest.mark.parametrize("command", ["train spiral", "parity"])
def test_a_gpu_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from nnbackend.backend import registry
    from nnbackend.errors import BackendError

    def no_gpu(device: object, dtype: object, kernels: object) -> None:
        raise BackendError("backend 'gpu' needs CuPy, which is not installed; install it")

    monkeypatch.setitem(registry._factories, "gpu", no_gpu)
    monkeypatch.setattr(registry, "_cache", {})
    assert main([*command.split(), "--backend", "gpu"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "nnbackend: backend 'gpu' needs CuPy, which is not installed; install it\n")


def test_a_wrong_backend_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNBACKEND", "cpuu")
    assert main(["train", "spiral"]) == 2
    assert "unknown backend 'cpuu'" in capsys.readouterr().err


def test_an_unwritable_history_is_said_before_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nnbackend.model.Model.train", lambda *arguments, **settings: pytest.fail("it trained"))
    assert main(["train", "spiral", "--history", str(tmp_path / "missing" / "run.csv")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_check_leaves_an_old_history_as_it_was(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text("old\n")
    assert main(["train", "spiral", "--epochs", "0", "--history", str(path)]) == 2
    assert path.read_text() == "old\n"


def test_a_machine_without_enough_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **settings: object) -> None:
        raise MemoryError("Unable to allocate 4.37 TiB for an array with shape (300000000000, 2)")

    monkeypatch.setattr("nnbackend.model.Model.train", full)
    assert main(["train", "spiral"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("nnbackend: not enough memory (Unable to allocate 4.37 TiB")
    assert "use fewer samples or neurons" in err


def test_a_link_that_leads_nowhere_yet_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "target.csv"
    link.symlink_to(target)
    assert main(["train", "spiral", "--epochs", "1", "--quiet", "--history", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith("epoch,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["train", "spiral", "--checkpoint", ""],
            "--checkpoint is empty: expected a value; see nnbackend train --help",
        ),
        (["show", ""], "an argument is empty: expected a value; see nnbackend show --help"),
    ],
)
def test_an_empty_value_is_no_current_folder(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"nnbackend: {said}\n"


def test_the_history_does_not_go_where_the_output_goes(tmp_path: Path) -> None:
    """With --history /dev/stdout > run.json the document would be overwritten."""
    for path in ("/dev/stdout", "run.json"):
        with (tmp_path / "run.json").open("w") as out:
            arguments = ["-m", "nnbackend", "train", "spiral", "--epochs", "2", "--json", "--history", path]
            finished = subprocess.run(
                [sys.executable, *arguments],
                env=environment(), cwd=tmp_path, stdout=out, stderr=subprocess.PIPE, text=True, timeout=120,
            )  # fmt: skip
        assert finished.returncode == 2
        assert finished.stderr == (
            f"nnbackend: --history {path} is the file that the output goes to: name another one\n"
        )


def test_an_error_does_not_bring_a_terminal_into_disorder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "no\x1b[2Jfile\nanywhere"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "\\x1b[2J" in err


def test_a_history_of_an_impossible_name_is_refused_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "spiral", "--epochs", "1", "--history", "a\nb.csv"]) == 2
    out, err = capsys.readouterr()
    assert "epoch" not in out
    assert err.count("\n") == 1


def test_a_wrong_name_in_the_environment_is_said_to_be_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNBACKEND", "nonsense")
    assert main(["train", "spiral", "--epochs", "1"]) == 2
    assert "NNBACKEND" in capsys.readouterr().err
