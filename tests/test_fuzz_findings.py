"""What `python -m tests.fuzz` found, a test for each finding that was mended; and every reader under a moment's fuzzing."""

from __future__ import annotations

import contextlib
import importlib
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnbackend as nn
from nnbackend.cli import main
from nnbackend.cli.rows import read_rows, read_samples
from nnbackend.datasets import numpy_files
from nnbackend.datasets.idx import read_idx
from nnbackend.storage import container
from tests.fuzz import archives, model_files, own_tables, pictures, tables, watch
from tests.fuzz.readers import READERS, TALLIES, fuzz
from tests.fuzz.watch import MEMORY, address_space, watched
from tests.test_storage import ROOT

pytest.importorskip("resource")  # not on Windows: there is no limit of memory

HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize("name", READERS)
def test_a_moments_fuzzing(name: str) -> None:
    with address_space(4 * MEMORY):
        findings = [str(finding) for finding in fuzz(name, seconds=2, seed=1, most=300)]
    assert not findings
    assert TALLIES[name].inputs > 20
    assert TALLIES[name].sentences > 1, "what is wrong with a file is told apart"


def test_the_watch_sees_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would find nothing whatever happened."""
    monkeypatch.setattr(watch, "SECONDS", 1.0)
    monkeypatch.setattr(watch, "MEMORY", 2**28)
    path, elsewhere = tmp_path / "folder" / "file", tmp_path / "elsewhere"
    path.parent.mkdir()
    path.touch()

    def raising(error: Exception) -> Callable[[Path], Any]:
        def read(path: Path) -> None:
            raise error

        return read

    def importing(path: Path) -> None:
        with contextlib.suppress(ImportError):
            importlib.import_module("canary_module")  # of no package that is known

    faults = {
        "ValueError": raising(ValueError("no sentence")),
        "not one line": raising(nn.FileError("x" * 600)),
        "GiB of memory": lambda path: np.ones(2**28 + 2**26, np.uint8),
        "took too long": lambda path: [sum(range(1000)) for _ in iter(int, 1)],
        "it printed": lambda path: print("hello"),
        "it did subprocess.Popen": lambda path: subprocess.run(["true"]),
        "it did import 'canary_module'": importing,
        "it did exec": lambda path: eval("1 + 1"),
        "it did pickle.find_class": lambda path: pickle.loads(pickle.dumps(np.dtype("f8"))),
        "it opened": lambda path: elsewhere.write_text("x"),
    }
    for part, read in faults.items():
        assert part in (watched(read, path).fault or ""), part
    assert watched(lambda path: path.write_bytes(path.read_bytes()), path).fault is None
    assert watched(raising(nn.DataError("X is odd")), path).fault is None


# -- files of numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("(" * 90, "no file of numbers"),  # tokenize.TokenError
        ("-" * 4000 + "1", "no file of numbers"),  # RecursionError
        ("{'descr':'<f8',1:2,None:3}", "no file of numbers"),  # TypeError: keys are sorted
        (HEADER % "(1.5, 2)", "shape is not valid: (1.5, 2)"),  # TypeError
        (HEADER % "(True, 2)", "it has shape (True, 2)"),
        (HEADER % "(18446744073709551616,)", "it has shape"),  # OverflowError
        (HEADER % "(9223372036854775807, 0)", "it has shape"),
        (HEADER % "(-3, -2)", "it has shape (-3, -2)"),
        (HEADER % "(1000000000000,)", "8,000,000,000,000 bytes of numbers follow"),  # took what it asked for
        ("{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }", "expected numbers, without objects in it"),
        ("{'descr': ('<f8', (1000000,)), 'fortran_order': False, 'shape': (3, 2), }", "holds values of ('<f8', (1000000,))"),
    ],
)  # fmt: skip
def test_headers_of_npy_files(header: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(tables.with_header(header, bytes(48)))
    with pytest.raises(nn.FileError, match=f"{path.name} ") as caught:
        read_rows(path)
    assert part in str(caught.value)


def test_a_npy_file_of_every_order_and_dtype_is_read(tmp_path: Path) -> None:
    rows = np.arange(6).reshape(3, 2)
    for array in (rows, np.asfortranarray(rows), rows.astype(">f4"), rows.astype(bool), rows[:0], rows.astype("<f2")):
        np.save(tmp_path / "a.npy", array)
        found = read_rows(tmp_path / "a.npy")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.flags.writeable


@pytest.mark.parametrize(
    "content", [b"not an array", b"", tables.npy(np.arange(3))[:-1], tables.npy(np.arange(3)) + b"x"]
)
def test_arrays_in_npz_files(content: bytes, tmp_path: Path) -> None:
    """An entry that is no array was given out as bytes."""
    path = tmp_path / "a.npz"
    path.write_bytes(archives.packed_zip([("X.npy", tables.npy(np.ones((3, 2)))), ("y.npy", content)]))
    with pytest.raises(nn.FileError, match=r"a.npz: y.npy is (damaged|truncated)"):
        read_samples(path)


def test_packed_bytes_that_are_damaged(tmp_path: Path) -> None:
    """zlib.error came out."""
    path = tmp_path / "a.npz"
    raw = bytearray(archives.packed_zip([(f"{name}.npy", tables.npy(np.arange(99.0))) for name in "Xy"]))
    start = 30 + len("X.npy")
    raw[start : start + 8] = b"\x05" * 8
    path.write_bytes(raw)
    with pytest.raises(nn.FileError, match=r"X\.npy is damaged or locked"):
        read_samples(path)


def test_names_in_a_file_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(archives.packed_zip([("\x1b[31m.npy", b""), ("x" * 5000 + ".npy", b"")]))
    with pytest.raises(nn.FileError) as caught:
        read_samples(path)
    assert "holds \\x1b[31m, xxx" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("rows", [3, 2**26, 2**32])
def test_a_small_npz_file_cannot_take_all_memory(rows: int, tmp_path: Path) -> None:
    """4 MB that unpack to 4 GiB, whatever the header inside says."""
    path = tmp_path / "a.npz"
    path.write_bytes(archives.zip_bomb("X.npy", 4000, head=tables.with_header(HEADER % f"({rows}, 2)", b"")))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("y.npy", tables.npy(np.arange(3)))
    outcome = watched(read_samples, path)
    assert outcome.fault is None
    assert "unpacks to" in outcome.sentence or "more follows than its header says" in outcome.sentence


def test_an_archive_that_really_is_large_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_files, "MOST_UNPACKED", 1000)
    X, y = np.random.default_rng(0).random((500, 2)), np.arange(500)
    np.savez_compressed(tmp_path / "a.npz", X=X, y=y)
    np.testing.assert_array_equal(read_samples(tmp_path / "a.npz")[0], X)
    np.savez_compressed(tmp_path / "b.npz", X=np.zeros((10**5, 2)), y=y)
    with pytest.raises(nn.FileError, match=r"write it with numpy.savez, which packs nothing"):
        read_samples(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", X=np.zeros((10**5, 2)), y=y)
    assert len(read_samples(tmp_path / "b.npz")[0]) == 10**5


def test_a_long_cell_is_named_in_short(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2\n1," + "x" * 5000)
    with pytest.raises(nn.FileError, match="line 2: 'xxx") as caught:
        read_rows(path)
    assert len(str(caught.value)) < 300


# -- images ----------------------------------------------------------------------------------------------------------------


def test_an_idx_file_cannot_ask_for_memory_that_it_does_not_fill(tmp_path: Path) -> None:
    """MemoryError came out."""
    path = tmp_path / "images.gz"
    for size, part in (((10**6, 1024, 1024), "claims to hold"), ((10**6, 28, 28), "is too short")):
        path.write_bytes(archives.gzip_bomb(10, head=np.array([2051, *size], ">u4").tobytes()))
        outcome = watched(lambda path: read_idx(str(path), 3), path)
        assert outcome.fault is None
        assert part in outcome.sentence or "damaged" in outcome.sentence


def test_a_picture_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    """Pillow gives PostScript to Ghostscript, where that is installed."""
    path = tmp_path / "shirt.png"
    path.write_bytes(pictures.png_seeds()[0])
    nn.datasets.load_image(path)  # Pillow is loaded
    path.write_bytes(pictures.POSTSCRIPT)
    outcome = watched(nn.datasets.load_image, path)
    assert outcome.fault is None
    assert "is damaged, or no image" in outcome.sentence


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_pictures_of_every_kind_that_is_offered(kind: str, tmp_path: Path) -> None:
    """One that Pillow knows under another's name had kept it from those behind it in the list."""
    from PIL import Image

    Image.new("RGB", (28, 28), (250, 250, 250)).save(tmp_path / "shirt", kind)
    assert nn.datasets.load_image(tmp_path / "shirt").max() < -0.9


@pytest.mark.parametrize("name", ["palette index out of range", "not a TIFF file"])
def test_pictures_that_are_damaged_behind_their_pixels(name: str, tmp_path: Path) -> None:
    """Errors came out after the picture had been read: of its palette, of where the camera's top was."""
    if name.startswith("palette"):
        chunks = [c for c in pictures.png_chunks(pictures.png_seeds()[-1]) if c[0] != b"PLTE"]
        chunks.insert(1, (b"PLTE", b""))
    else:
        chunks = pictures.png_chunks(pictures.png_seeds()[0])
        chunks.insert(1, (b"eXIf", b"\x00" * 8))
    path = tmp_path / "shirt.png"
    path.write_bytes(pictures.png_file(chunks))
    assert watched(nn.datasets.load_image, path).fault is None


@pytest.mark.parametrize("size", [(2**13 + 1, 2**13), (2**31 - 1, 1), (60_000, 60_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(size: tuple[int, int], tmp_path: Path) -> None:
    chunks = pictures.png_chunks(pictures.png_seeds()[3])
    chunks[0] = b"IHDR", np.array(size, ">u4").tobytes() + chunks[0][1][8:]
    path = tmp_path / "shirt.png"
    path.write_bytes(pictures.png_file(chunks))
    outcome = watched(nn.datasets.load_image, path)
    assert outcome.fault is None
    assert outcome.seconds < 0.5
    assert "pixels: expected at most" in outcome.sentence or "no image" in outcome.sentence


def test_pieces_of_a_picture_are_turned_to_grey_as_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (50, 70, 4), dtype=np.uint8)
    for mode in ("RGBA", "RGB", "P"):
        Image.fromarray(colours).convert(mode).save(tmp_path / "a.png")
        whole = nn.datasets.load_image(tmp_path / "a.png")
        for piece in (30, 300):  # parts of lines, a few lines
            with monkeypatch.context() as patched:
                patched.setattr("nnbackend.datasets.images._PIECE", piece)
                np.testing.assert_array_equal(nn.datasets.load_image(tmp_path / "a.png"), whole)


def test_a_tall_picture_takes_no_longer_than_others(tmp_path: Path) -> None:
    """It was turned to grey in thousands of small pieces."""
    from PIL import Image

    Image.new("LA", (5, 2**22), (9, 9)).save(tmp_path / "tall.png")
    outcome = watched(nn.datasets.load_image, tmp_path / "tall.png")
    assert outcome.fault is None
    assert outcome.seconds < 3


def test_an_entry_of_a_zip_file_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    """The directory says 100 bytes, and 2 GiB were unpacked to look at them."""
    path = tmp_path / "images.zip"
    entries = [(f"{half}/{label}/0.png", b"") for half in ("train", "test") for label in range(10)][1:]
    path.write_bytes(archives.zip_bomb("train/0/0.png", 2048, declared=100))
    with zipfile.ZipFile(path, "a") as file:
        for name, content in entries:
            file.writestr(name, content)
    outcome = watched(nn.datasets.fashion_mnist, path)
    assert outcome.fault is None
    assert "train/0/0.png is damaged" in outcome.sentence


# -- model files -----------------------------------------------------------------------------------------------------------


def small_document() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    contents = container.decode(model_files.model_seeds()[0])
    return {**contents.document, "format": container.FORMAT, "version": container.VERSION}, contents.arrays


def test_a_checkpoint_without_a_model(tmp_path: Path) -> None:
    """KeyError came out."""
    contents = container.decode(model_files.checkpoint_seeds()[-1])
    document = {**contents.document, "format": container.FORMAT, "version": container.VERSION}
    del document["model"]
    file = tmp_path / "checkpoint-00000002.safetensors"
    file.write_bytes(model_files.with_document(json.dumps(document), contents.arrays))
    with pytest.raises(nn.FileError, match="document has 'run' without 'model'"):
        container.read_contents(file)


@pytest.mark.parametrize("part", ["layers", "optimizer"])
def test_a_checkpoint_whose_model_is_not_that_of_its_run(part: str, tmp_path: Path) -> None:
    """ValueError came out of `zip`; without an optimizer its state was left as it was."""
    contents = container.decode(model_files.checkpoint_seeds()[-1])
    document = {**contents.document, "format": container.FORMAT, "version": container.VERSION}
    document["model"][part] = document["model"][part][:-1] if part == "layers" else None
    file = tmp_path / "checkpoint-00000002.safetensors"
    file.write_bytes(model_files.with_document(json.dumps(document), contents.arrays))
    with pytest.raises(nn.FileError, match="other layers or another optimizer than the run"):
        model_files.small_model(4, model_files.early_stopping(), nn.Checkpoint(tmp_path, resume=True))


def test_a_learning_rate_that_no_number_can_hold(tmp_path: Path) -> None:
    """OverflowError came out."""
    document, arrays = small_document()
    document["model"]["optimizer"]["current_learning_rate"] = 10**400
    (tmp_path / "model").write_bytes(model_files.with_document(json.dumps(document), arrays))
    with pytest.raises(nn.FileError, match=r"current_learning_rate is 1000.*, expected at most 1.79"):
        nn.Model.load(tmp_path / "model")


def test_what_a_file_says_is_quoted_in_short(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for change in (
        lambda document: document.update({"x" * 5000: 1}),
        lambda document: document["model"]["layers"][0].update({"class": "\x1b[2J" + "x" * 5000}),
        lambda document: document["model"]["layers"][0]["arguments"].update({"x" * 5000: 1}),
        lambda document: document["model"].update({"epoch": 10**4000}),
        lambda document: document["model"]["layers"][3]["arguments"].update({"n_neurons": 10**3000}),
    ):
        document, arrays = small_document()
        change(document)
        path.write_bytes(model_files.with_document(json.dumps(document), arrays))
        with pytest.raises(nn.FileError) as caught:
            nn.Model.load(path)
        assert len(str(caught.value)) < 600
        assert str(caught.value).isprintable()


def test_a_picture_is_as_large_as_the_model_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file could name a size that takes all memory."""
    from PIL import Image

    Image.new("L", (2, 1)).save(tmp_path / "a.png")
    document, arrays = small_document()
    for size in ([10**6, 10**6], [3, 1]):
        document["model"]["preprocessing"] = {"image_shape": size}
        arrays.pop("preprocessing/mean", None)
        (tmp_path / "model").write_bytes(model_files.with_document(json.dumps(document), arrays))
        assert main(["predict", str(tmp_path / "model"), str(tmp_path / "a.png")]) == 2
        assert f"names an image_shape of {size}" in capsys.readouterr().err


def test_what_was_done_to_data_counts_no_more_columns_than_there_can_be(tmp_path: Path) -> None:
    """The number was quoted whole."""
    document = json.loads(own_tables.preprocessing_seeds()[0])
    document["table"]["columns"] = 10**500
    (tmp_path / "done.json").write_text(json.dumps(document))
    with pytest.raises(nn.DataError, match=r"columns is 1000.*…, expected a whole number above 0 and below"):
        own_tables.read_preprocessing(tmp_path / "done.json")


# -- a file from elsewhere can do nothing but hold numbers ------------------------------------------------------------------

ATTACKS = (
    {"class": "os.system", "arguments": {"command": "touch CANARY"}},
    {"class": "subprocess.Popen", "arguments": {"args": ["touch", "CANARY"]}},
    {"class": "canary_module.Layer", "arguments": {}},
    {"class": "__import__", "arguments": {"name": "canary_module"}},
    {"class": "../canary_module.py", "arguments": {}},
    {"class": "Dense", "arguments": {"__class__": "canary_module.Layer", "n_inputs": 2, "n_neurons": 3}},
    {"class": "Dense", "arguments": {"n_inputs": 2, "n_neurons": 3, "backend": "canary_module"}},
    {"class": "Dense", "arguments": {"n_inputs": 2, "n_neurons": 3, "weight_initializer": {"class": "eval", "arguments": {}}}},
    {"class": "Dense", "arguments": {"n_inputs": {"__reduce__": ["os.system", ["touch CANARY"]]}, "n_neurons": 3}},
    {"class": "Layer", "arguments": {}, "seed": "__import__('canary_module')"},
)  # fmt: skip

PROGRAM = """
import os, pathlib, sys
import nnbackend as nn
from nnbackend.cli.rows import read_rows, read_samples
from tests.fuzz import model_files
from tests.fuzz.watch import watched

folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder / "modules"))
os.chdir(folder)
READ = {".safetensors": model_files.read_model, ".npy": read_rows, ".npz": read_samples, ".png": nn.datasets.load_image}
model_files.read_model(folder / "good.safetensors")
nn.datasets.load_image(folder / "good.png")  # Pillow is loaded
for path in sorted(folder.glob("bad*")):
    outcome = watched(READ[path.suffix], path)
    print(path.name, outcome.fault, outcome.sentence, sep=" | ")
assert "canary_module" not in sys.modules
"""


class Attack:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch CANARY",)


def write_attacks(folder: Path) -> int:
    """Files that try to be more than numbers; how many they are."""
    (folder / "modules").mkdir()
    (folder / "modules" / "canary_module.py").write_text("open('CANARY', 'w')\nclass Layer:\n    pass\n")
    model_files.small_model().save(folder / "good.safetensors")
    (folder / "good.png").write_bytes(pictures.png_seeds()[0])
    for number, attack in enumerate(ATTACKS):
        document, arrays = small_document()
        document["model"]["layers"][0] = {**document["model"]["layers"][0], **attack}
        text = model_files.with_document(json.dumps(document), arrays)
        (folder / f"bad-class-{number}.safetensors").write_bytes(text)
    pickled = pickle.dumps([Attack()])
    for suffix in (".safetensors", ".npy", ".npz", ".png"):
        (folder / f"bad-pickle{suffix}").write_bytes(pickled)
    objects = np.empty(1, object)
    objects[0] = Attack()
    (folder / "bad-objects.npy").write_bytes(tables.npy(objects))
    for name, content in (("npy", tables.npy(objects)), ("pickle", pickled)):
        (folder / f"bad-{name}.npz").write_bytes(archives.packed_zip([("X.npy", content), ("y.npy", content)]))
    (folder / "bad-header.npy").write_bytes(tables.with_header("__import__('canary_module')", bytes(48)))
    (folder / "bad-eps.png").write_bytes(pictures.POSTSCRIPT)
    return len(list(folder.glob("bad*")))


def test_a_file_from_elsewhere_can_do_nothing_but_hold_numbers(tmp_path: Path) -> None:
    """In a process of its own whose every import, start of a program and opening of a file is heard."""
    count = write_attacks(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == count > len(ATTACKS) + 7
    for line in lines:
        name, fault, sentence = line.split(" | ", 2)
        assert fault == "None", line
        assert sentence, f"{name} was read as if nothing were wrong"
    assert not list(tmp_path.rglob("CANARY"))
