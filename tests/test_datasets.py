"""Data sets: made-up points, digits, and images from files in the formats that they really come in."""

from __future__ import annotations

import concurrent.futures
import gzip
import re
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import nnfs.datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import nnbackend as nn
from nnbackend.datasets import FASHION_LABELS, digits, fashion_mnist, load_image, stratified_split
from nnbackend.datasets.idx import IDX_FILES, read_idx

# -- made-up points --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spiral", "vertical"])
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_points_are_those_of_nnfs(name: str, seed: int) -> None:
    X, y = getattr(nn.datasets, name)(samples=7, classes=3, seed=seed)
    np.random.seed(seed)
    X_nnfs, y_nnfs = getattr(nnfs.datasets, f"{name}_data")(7, 3)
    np.testing.assert_array_equal(X, X_nnfs)
    np.testing.assert_array_equal(y, y_nnfs)
    assert (X.dtype, y.dtype) == (np.float64, np.int64)


def test_the_sine_is_that_of_nnfs() -> None:
    for ours, theirs in zip(nn.datasets.sine(50), nnfs.datasets.sine_data(50), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", [0, None])
def test_numpys_random_state_is_left_as_it_was(seed: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    nn.datasets.spiral(seed=seed)
    nn.datasets.vertical(seed=seed)
    nn.datasets.sine()
    monkeypatch.setattr(nnfs.datasets, "spiral_data", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        nn.datasets.spiral(seed=seed)
    np.testing.assert_array_equal(np.random.random(3), expected)


@pytest.mark.parametrize("name", ["spiral", "vertical"])
def test_threads_draw_what_their_seeds_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """nnfs draws from NumPy's one global state: a thread must not draw from another's seed, nor leave it behind."""
    draw, theirs = getattr(nn.datasets, name), getattr(nnfs.datasets, f"{name}_data")
    expected = {seed: draw(20, 3, seed=seed)[0] for seed in range(8)}

    def slow(*arguments: Any) -> Any:
        time.sleep(0.01)  # between the seed and the draw another thread has its turn
        return theirs(*arguments)

    monkeypatch.setattr(nnfs.datasets, f"{name}_data", slow)
    state = np.random.get_state()[1].copy()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        drawn = dict(zip(expected, threads.map(lambda seed: draw(20, 3, seed=seed)[0], expected), strict=True))
    for seed, X in expected.items():
        np.testing.assert_array_equal(drawn[seed], X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_no_seed_is_another_each_time() -> None:
    assert not np.array_equal(nn.datasets.spiral(5)[0], nn.datasets.spiral(5)[0])


@pytest.mark.parametrize("seed", [2**32, -1, "one"])
def test_seeds_that_nnfs_cannot_take(seed: Any) -> None:
    with pytest.raises(nn.ArgumentError, match="seed"):
        nn.datasets.spiral(seed=seed)


# -- splits and digits -----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=5), st.floats(0, 1, exclude_max=True), st.integers(0, 2**64 - 1)
)
def test_a_split_takes_its_share_of_every_class(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    kept, aside = stratified_split(labels, share, seed=seed)
    assert sorted([*kept, *aside]) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        taken = int((labels[aside] == label).sum())
        assert taken == round(share * size) or taken in (1, size - 1)
        assert 0 < taken < size
    again, _ = stratified_split(labels, share, seed=seed)
    np.testing.assert_array_equal(kept, again)


def test_a_split_is_shuffled_by_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    kept = [stratified_split(labels, 0.2, seed=seed)[0].tolist() for seed in (0, 1)]
    assert kept[0] != kept[1]
    assert all(order != sorted(order) for order in kept)
    with pytest.raises(nn.DataError, match="class 2 has a single sample"):
        stratified_split(np.array([0, 0, 2]), 0.5)
    with pytest.raises(nn.ArgumentError, match=r"share 1\.5"):
        stratified_split(labels, 1.5)


def test_digits() -> None:
    images = digits(seed=0)
    assert images.X_train.shape == (1438, 64)
    assert images.X_test.shape == (359, 64)
    assert images.X_train.dtype == np.float32
    assert (images.X_train.min(), images.X_train.max()) == (-1, 1)
    everything = {row.tobytes() for row in np.concatenate([images.X_train, images.X_test])}
    assert len(everything) == 1797
    counts = np.bincount(images.y_test)
    assert counts.min() >= 34
    assert counts.max() <= 37
    np.testing.assert_array_equal(digits(seed=0).y_train, images.y_train)
    assert not np.array_equal(digits(seed=1).y_train, images.y_train)
    assert repr(images).startswith("<ImageSet of 1,438 training and 359 test images, 8 × 8, 10 labels")


def test_digits_can_be_learned() -> None:
    images = digits(seed=0)
    model = nn.Model(
        [nn.Dense(64, 32, weight_initializer=nn.Normal(0.1)), nn.ReLU(), nn.Dense(32, 10), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(),
        optimizer=nn.Adam(0.01),
        seed=0,
    )
    model.train(images.X_train, images.y_train, epochs=8, batch_size=64, print_every=0)
    assert model.evaluate(images.X_test, images.y_test).accuracy > 0.9


# -- Fashion-MNIST ---------------------------------------------------------------------------------------------------------

TRAINING, TEST = 3, 2  # images a class in the files written here


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    """Made images: training and test, class by class, all different."""
    rng = np.random.default_rng(0)
    return {
        half: rng.integers(0, 256, (10, count, 28, 28), dtype=np.uint8)
        for half, count in (("train", TRAINING), ("test", TEST))
    }


def write_folder(path: Path, pictures: dict[str, np.ndarray]) -> Path:
    """The book's folder: grey PNG files in folders named by class."""
    for half, classes in pictures.items():
        for label, images in enumerate(classes):
            folder = path / half / str(label)
            folder.mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(folder / f"{number:04}.png")
    return path


def write_zip(path: Path, pictures: dict[str, np.ndarray], inside: str = "") -> Path:
    """The book's zip file, with what an operating system leaves in it."""
    folder = write_folder(path.parent / "unpacked", pictures)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sorted(folder.rglob("*")):
            file.write(source, inside + source.relative_to(folder).as_posix())
        file.writestr("__MACOSX/train/0/._0000.png", b"junk")
        file.writestr(f"{inside}train/0/.DS_Store", b"junk")
        file.writestr(f"{inside}train/0/._0000.png", b"junk")
    return path


def write_idx(path: Path, pictures: dict[str, np.ndarray], packed: bool = True) -> Path:
    """The original files, images of all classes mixed."""
    path.mkdir()
    for half, prefix in (("train", "train"), ("test", "t10k")):
        images = pictures[half].swapaxes(0, 1).reshape(-1, 28, 28)  # 0, 1, ..., 9, 0, 1, ...
        labels = np.tile(np.arange(10, dtype=np.uint8), len(images) // 10)
        raw = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">4I", 2051, *images.shape) + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">2I", 2049, len(labels)) + labels.tobytes(),
        }
        for name, data in raw.items():
            (path / (name + ".gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    return path


WRITERS = {
    "folder": lambda path, pictures: write_folder(path / "fashion_mnist_images", pictures),
    "zip": lambda path, pictures: write_zip(path / "fashion_mnist_images.zip", pictures),
    "zip with a folder inside": lambda path, pictures: write_zip(path / "f.zip", pictures, "fashion_mnist_images/"),
    "idx, packed": lambda path, pictures: write_idx(path / "raw", pictures),
    "idx": lambda path, pictures: write_idx(path / "raw", pictures, packed=False),
}


@pytest.mark.parametrize("form", WRITERS)
def test_fashion_mnist_in_every_form(form: str, pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    images = fashion_mnist(WRITERS[form](tmp_path, pictures), seed=0)

    assert images.label_names == FASHION_LABELS
    assert images.label_names[:2] == ("T-shirt/top", "Trouser")
    assert images.shape == (28, 28)
    for X, y, half in ((images.X_train, images.y_train, "train"), (images.X_test, images.y_test, "test")):
        assert (X.dtype, y.dtype) == (np.float32, np.int64)
        assert X.shape == (len(y), 784)
        assert len({row.tobytes() for row in X}) == len(pictures[half].reshape(-1, 784))
        for row, label in zip(X, y, strict=True):
            # The book's own words, in float32: (X.reshape(X.shape[0], -1).astype(np.float32) - 127.5) / 127.5
            expected = (pictures[half][label].reshape(-1, 784).astype(np.float32) - 127.5) / 127.5
            assert (row == expected).all(axis=1).any()


def test_training_images_are_shuffled_by_the_seed(pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = write_folder(tmp_path / "images", pictures)
    one, again, other = (fashion_mnist(path, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.X_train, again.X_train)
    assert not np.array_equal(one.y_train, other.y_train)
    assert one.y_train.tolist() != sorted(one.y_train)
    assert one.y_test.tolist() == sorted(one.y_test), "the book shuffles training images only"


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_progress_is_told(form: str, pictures: dict[str, np.ndarray], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("nnbackend.datasets.png_folders._EVERY", 20)
    told: list[tuple[int, int]] = []
    fashion_mnist(WRITERS[form](tmp_path, pictures), progress=lambda done, total: told.append((done, total)))
    assert told == [(20, 50), (40, 50), (50, 50)]


def refused(path: Any, *words: str) -> None:
    """Reading it raises `FileError` with one sentence that has all these words."""
    with pytest.raises(nn.FileError) as caught:
        fashion_mnist(path)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_with_something_else_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "missing", "cannot read", "missing", "No such file")
    refused(
        tmp_path, str(tmp_path), "does not look like Fashion-MNIST", "train/0/0000.png", "train-images-idx3-ubyte.gz"
    )
    (tmp_path / "file").write_bytes(b"hello")
    refused(tmp_path / "file", "is no zip file")


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_damaged_image_folders(form: str, pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images", pictures)
    image = folder / "train" / "3" / "0001.png"

    def path() -> Path:
        if form == "folder":
            return folder
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
            for source in sorted(folder.rglob("*")):
                file.write(source, source.relative_to(folder).as_posix())
        return tmp_path / "images.zip"

    good = image.read_bytes()
    for damaged in (good[: len(good) // 2], b"", b"hello", good[:40] + b"\xff" * 20 + good[60:]):
        image.write_bytes(damaged)
        refused(path(), "train/3/0001.png is damaged, or no image")
    Image.new("L", (28, 32)).save(image)
    refused(path(), "train/3/0001.png has 28 × 32 pixels in mode L: expected 28 × 28 in grey")
    Image.new("RGB", (28, 28)).save(image)
    refused(path(), "train/3/0001.png has 28 × 28 pixels in mode RGB: expected 28 × 28 in grey")
    image.write_bytes(good)
    (folder / "test" / "11").mkdir()
    (folder / "test" / "11" / "0000.png").write_bytes(good)
    refused(path(), "test/11/0000.png is in a folder of class 11: expected 0 to 9")
    (folder / "test" / "11" / "0000.png").unlink()
    for source in (folder / "test" / "7").iterdir():
        source.unlink()
    refused(path(), "has no images in test/7: expected .png files in test/0 to test/9")


def test_damaged_zip_files(pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", pictures)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    refused(path, "images.zip is truncated")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        file.writestr("hello", b"hello")
    refused(path, "images.zip has no images in train/0")
    path.write_bytes(good)
    with zipfile.ZipFile(path) as file:
        entry = file.getinfo("test/0/0000.png")
    changed = bytearray(good)
    changed[entry.header_offset + 30 + len(entry.filename) + 100] ^= 0xFF  # in its compressed bytes
    path.write_bytes(changed)
    refused(path, "images.zip: test/0/0000.png is damaged")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for half in ("train", "test"):
            for label in range(10):
                file.writestr(f"{half}/{label}/0000.png", bytes(2**24))
    refused(path, "train/0/0000.png is larger than a small image can be")


def test_damaged_idx_files(pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "raw", pictures)
    images, labels = folder / f"{IDX_FILES[0]}.gz", folder / f"{IDX_FILES[1]}.gz"
    raw_images, raw_labels = gzip.decompress(images.read_bytes()), gzip.decompress(labels.read_bytes())
    header = struct.pack(">4I", 2051, 30, 28, 28)

    def check(path: Path, data: bytes, *words: str) -> None:
        before = path.read_bytes()
        path.write_bytes(data)
        refused(folder, path.name, *words)
        path.write_bytes(before)

    packed = images.read_bytes()
    check(images, packed[: len(packed) // 2], "is truncated or damaged", "packed by gzip")
    check(images, packed[:200] + bytes(8) + packed[208:], "damaged")
    check(images, raw_images, "is truncated or damaged")
    check(images, b"", "is empty")
    check(images, gzip.compress(raw_images[:-1]), "is too short: expected 23,520 bytes for 30 × 28 × 28 values")
    check(images, gzip.compress(raw_images + b"\0"), "is too long")
    check(images, gzip.compress(raw_labels), "starts with 2049: expected an IDX file of images, which starts with 2051")
    check(images, gzip.compress(struct.pack(">4I", 2051, 2**32 - 1, 28, 28)), "claims to hold 4,294,967,295 × 28 × 28")
    check(
        images,
        gzip.compress(struct.pack(">4I", 2051, 30, 14, 56) + raw_images[16:]),
        "14 × 56 pixels: expected 28 × 28",
    )
    check(labels, gzip.compress(struct.pack(">2I", 2049, 29) + raw_labels[8:-1]), "holds 29 labels: expected 30")
    check(labels, gzip.compress(raw_labels[:-1] + b"\x0a"), "label 29 is 10: expected 0 to 9")
    assert raw_images.startswith(header)
    labels.unlink()
    refused(folder, "has no file train-labels-idx1-ubyte.gz: expected all of")


@given(st.binary(max_size=60), st.booleans())
def test_no_idx_file_does_more_than_raise_file_error(tmp_path_factory: Any, raw: bytes, packed: bool) -> None:
    path = tmp_path_factory.getbasetemp() / ("fuzz.gz" if packed else "fuzz")
    for data in (raw, struct.pack(">4I", 2051, 1, 2, 3) + raw):
        path.write_bytes(gzip.compress(data)[: 20 + len(data)] if packed else data)
        try:
            assert read_idx(str(path), 3).shape == (1, 2, 3)
        except nn.FileError as error:
            message = str(error)
            if "\n" in message:
                raise


# -- a picture of one's own --------------------------------------------------------------------------------------------------


def test_load_image_prepares_as_chapter_22_does(tmp_path: Path) -> None:
    """Grey, 28 × 28, inverted, -1..1: on a picture whose every quarter is even, resizing changes nothing but the edges."""
    picture = np.kron(np.array([[255, 0], [100, 200]], np.uint8), np.ones((140, 140), np.uint8))
    Image.fromarray(picture).convert("RGB").save(tmp_path / "shirt.png")
    X = load_image(tmp_path / "shirt.png")
    assert (X.shape, X.dtype) == ((1, 784), np.float32)
    image = X.reshape(28, 28)
    for row, column, grey in ((3, 3, 255), (3, 24, 0), (24, 3, 100), (24, 24, 200)):
        assert image[row, column] == np.float32((255 - grey - 127.5) / 127.5)
    kept = load_image(tmp_path / "shirt.png", invert=False)
    np.testing.assert_allclose(kept, -X, atol=1e-6)
    assert load_image(tmp_path / "shirt.png", shape=(14, 20)).shape == (1, 280)


def test_load_image_turns_colours_to_grey(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (200, 100, 50)).save(tmp_path / "colour.png")
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)  # ITU-R 601, as OpenCV does in the book
    assert np.unique(load_image(tmp_path / "colour.png", invert=False)) == np.float32((grey - 127.5) / 127.5)


def test_load_image_of_unusual_kinds(tmp_path: Path) -> None:
    transparent = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    transparent.save(tmp_path / "a.png")
    assert (load_image(tmp_path / "a.png") == -1).all(), "transparent is ground, and ground is black once inverted"
    assert (load_image(tmp_path / "a.png", invert=False) == -1).all()
    Image.fromarray(np.full((28, 28), 32768, np.uint16)).save(tmp_path / "deep.png")
    assert np.unique(load_image(tmp_path / "deep.png", invert=False)) == np.float32((128 - 127.5) / 127.5)
    turned = Image.new("L", (40, 20), 255)
    turned.paste(0, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left side of the file is the top of the picture
    turned.save(tmp_path / "turned.png", exif=exif)
    image = load_image(tmp_path / "turned.png", invert=False).reshape(28, 28)
    assert (image[:10] < 0).all()
    assert (image[18:] > 0).all()


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_load_image_of_something_else(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "shirt.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(nn.FileError, match=re.escape(str(path))):
        load_image(path)
    with pytest.raises(nn.FileError, match="Is a directory"):
        load_image(tmp_path)


@pytest.mark.parametrize("shape", [28, (28,), (0, 28), (28, 28, 1), "ab"])
def test_load_image_checks_the_shape(shape: Any, tmp_path: Path) -> None:
    Image.new("L", (3, 3)).save(tmp_path / "image.png")
    with pytest.raises(nn.ArgumentError, match="shape"):
        load_image(tmp_path / "image.png", shape=shape)


# -- what is not installed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("sklearn", "nn.datasets.digits()"),
        ("PIL", "nn.datasets.load_image('x.png')"),
        ("PIL", "nn.datasets.fashion_mnist(folder)"),
    ],
)
def test_a_missing_package_is_named_with_the_command(package: str, call: str, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    program = f"import sys; sys.modules[{package!r}] = None\nimport nnbackend as nn; folder = {str(tmp_path)!r}\n{call}"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("nnbackend.errors.StateError")
    assert last.endswith("which is not installed: pip install 'nnbackend[data]'")
