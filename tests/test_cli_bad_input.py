"""Whatever is wrong on the command line gets one sentence on stderr and the right status, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnbackend.cli import main

# Arguments, the status, and a part of the sentence: the value, what was expected or what to do.
WRONG: list[tuple[str, int, str]] = [
    # the command
    ("trian", 2, "unknown command 'trian': did you mean 'train'?"),
    ("learn", 2, "unknown command 'learn': Known: "),
    ("--bogus", 2, "unknown option '--bogus'; see nnbackend --help"),
    ("train", 2, "missing argument"),
    ("train spiral extra", 2, "got unexpected extra argument"),
    ("train spiral --epoch 5", 2, "unknown option '--epoch': did you mean '--epochs'? See nnbackend train --help"),
    ("train spiral --epochs", 2, "option '--epochs' requires an argument"),
    ("train spirall", 2, "unknown data set 'spirall': did you mean 'spiral'?"),
    ("parity spiral", 2, "got unexpected extra argument"),
    ("train spiral --samples 100000000000", 2, "memory"),
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
    ("train spiral --seed -1", 2, "seed -1: expected an integer from 0"),
    ("train spiral --seed 4294967296", 2, "seed 4294967296"),
    ("parity --steps 0", 2, "steps 0: expected a whole number of at least 1"),
    ("parity --steps many", 2, "--steps 'many': expected a whole number"),
    # settings that do not go together
    ("train spiral --momentum 0.5", 2, "--momentum 0.5 is for --optimizer sgd: adam has none"),
    ("train spiral --binary --classes 3", 2, "expected --classes 2, not 3"),
    ("train sine --binary", 2, "--binary is for classification, and the sine is a regression"),
    ("train sine --classes 3", 2, "--classes is for classification, and the sine is a regression"),
    # files
    ("train spiral --history NOWHERE/run.csv", 2, "NOWHERE/run.csv cannot be written (No such file or directory)"),
    ("train spiral --history FOLDER", 2, "FOLDER cannot be written (Is a directory)"),
    ("parity --plot NOWHERE/run.png", 2, "NOWHERE/run.png cannot be written (No such file or directory)"),
    ("parity --plot run.xyz", 2, "run.xyz: pictures are not written as 'xyz': use .png, .svg or .pdf"),
    ("parity --plot run", 2, "use .png, .svg or .pdf"),
    # a run that fails
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
    assert main(arguments.split()) == status
    err = capsys.readouterr().err
    assert part in err
    assert err.startswith("nnbackend: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["FOLDER"], "a refused run leaves nothing behind"


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
