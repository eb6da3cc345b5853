"""Model files and checkpoints, changed behind their checksum: the parser that it protects is reached."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import nnbackend as nn
from nnbackend.cli.answers import Answers
from nnbackend.cli.predict import image_shape
from nnbackend.cli.show import lines
from nnbackend.storage import container
from tests.fuzz import mutate

MOST_NUMBERS = 10**4  # what a mutated model is asked to predict: inputs times layers
X, y = nn.datasets.spiral(samples=4, classes=3, seed=0)


def small_model(epochs: int = 2, *callbacks: nn.Callback) -> nn.Model:
    """A model with everything that a file can hold."""
    model = nn.Model(
        [nn.Dense(2, 3, weight_regularizer=nn.L1L2(1e-4, 1e-3)), nn.ReLU(), nn.Dropout(0.1), nn.Dense(3, 3), nn.Softmax()],
        loss=nn.CategoricalCrossentropy(), optimizer=nn.Adam(0.01), seed=0,
    )  # fmt: skip
    model.class_names = ["a", "b", "c"]
    model.preprocessing = {"image_shape": [1, 2], "mean": np.zeros(2)}
    model.training_record = {"data": "spiral", "samples": 4, "seed": 0, "training": {"loss": 1.0}}
    model.train(X, y, epochs=epochs, print_every=0, callbacks=[nn.CosineSchedule(0.01, epochs=4), *callbacks])
    return model


def early_stopping() -> nn.EarlyStopping:
    """A callback with arrays and numbers to remember."""
    return nn.EarlyStopping("loss", patience=9)


@functools.cache
def model_seeds() -> tuple[bytes, ...]:
    """A classifier, a regression, and parameters alone."""
    sine = nn.Model(
        [nn.Dense(1, 4), nn.Sigmoid(), nn.Dense(4, 1)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(0.1), seed=0
    )
    sine.train(*nn.datasets.sine(8), print_every=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        files = []
        for write in (small_model().save, sine.save, sine.save_parameters):
            write(path)
            files.append(path.read_bytes())
    return tuple(files)


@functools.cache
def checkpoint_seeds() -> tuple[bytes, ...]:
    """A run after two of four epochs."""
    with tempfile.TemporaryDirectory() as folder:
        small_model(2, early_stopping(), nn.Checkpoint(folder, every=1))
        return tuple(path.read_bytes() for path in sorted(Path(folder).glob("*.safetensors")))


def edited_file(rng: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A model file with something changed, mostly with the checksum that then fits."""
    action = rng.random()
    if action < 0.2:
        return mutate.edited(rng, raw, others)
    header, data = taken_apart(raw)
    if action < 0.35:
        header["__metadata__"][container.KEY] = mutate.edited_json(rng, _document(header))
    elif action < 0.45:
        return put_together(mutate.edited_json(rng, header), data)
    elif action < 0.7:
        return _with_edited_arrays(rng, raw)
    else:
        return with_document(mutate.edited_json(rng, _document(header)), container.decode(raw).arrays)
    return put_together(json.dumps(header), data)


def taken_apart(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes of its arrays."""
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put_together(header: str, data: bytes) -> bytes:
    """A safetensors file."""
    encoded = header.encode(errors="surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded + data


def _document(header: Mapping[str, Any]) -> dict[str, Any]:
    document = json.loads(header["__metadata__"][container.KEY])
    del document["sha256"]
    return document


def with_document(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """A file with this document, whatever it says, and a checksum that fits where there is one."""
    try:
        said = json.loads(text)
        digest = container._digest({k: v for k, v in said.items() if k != "sha256"}, arrays)
    except (ValueError, RecursionError, AttributeError):  # no JSON that a checksum can be made of
        digest = "none"
    if text.startswith("{"):
        text = f'{{"sha256":"{digest}"' + ("," if text != "{}" else "") + text[1:]
    header: dict[str, Any] = {"__metadata__": {container.KEY: text}}
    end = 0
    for name, array in arrays.items():
        kind = next(name for name, dtype in container.DTYPES.items() if dtype == array.dtype)
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [end, end := end + array.nbytes]}
    return put_together(json.dumps(header), b"".join(array.tobytes() for array in arrays.values()))


def _with_edited_arrays(rng: Random, raw: bytes) -> bytes:
    contents = container.decode(raw)
    arrays = dict(contents.arrays)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(arrays))
        array = arrays.pop(name)
        arrays[rng.choice((name, name, name, rng.choice(mutate.ODD_KEYS[:10]), name + "/x"))] = _edited_array(
            rng, array
        )
        if rng.random() < 0.2:
            arrays[rng.choice(sorted(contents.arrays))] = array
        if not arrays:
            break
    document = {**contents.document, "format": container.FORMAT, "version": container.VERSION}
    return with_document(json.dumps(document), arrays)


def _edited_array(rng: Random, array: np.ndarray) -> np.ndarray:
    """Another number in it, another dtype, another shape."""
    changed = array.copy()
    if changed.size:
        with np.errstate(all="ignore"):
            odd = np.float64(rng.choice((np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0, 1e-320, 2.0**62))).astype(
                array.dtype
            )
            changed.flat[rng.randrange(changed.size)] = odd
    with np.errstate(all="ignore"):
        changed = changed.astype(
            rng.choice((array.dtype, array.dtype, np.dtype("<f4"), np.dtype("<f8"), np.dtype("<i8")))
        )
    shapes = [changed, changed, changed.ravel(), changed.T, changed[..., :0], changed[None], changed.reshape(-1, 1)]
    return np.asarray(rng.choice(shapes), order="C")


# -- readings --------------------------------------------------------------------------------------------------------------


def read_model(path: Path) -> None:
    """Everything that is done with a model file: it is shown, loaded, asked, and saved again."""
    contents = container.read_contents(path)
    lines(contents)
    model = nn.Model.load(path)
    model.summary()
    repr(model)
    width = model.n_inputs or 1
    if width * len(model.layers) <= MOST_NUMBERS:
        answers = Answers(model, model.predict(np.zeros((1, width))))
        answers.rows()
        answers.sentence()
    try:
        height, width = image_shape(model, path)
    finally:
        model.save(path)
    if height * width != model.n_inputs:
        raise AssertionError(f"a picture of {height} × {width} for {model.n_inputs} inputs")


def read_parameters(path: Path) -> None:
    """Parameters into a model that is there."""
    model = small_model(1)
    model.load_parameters(path)
    model.predict(X)


def read_checkpoint(path: Path) -> None:
    """A run that goes on from the file."""
    file = path.parent / "checkpoint-00000002.safetensors"
    path.replace(file)
    try:
        small_model(4, early_stopping(), nn.Checkpoint(path.parent, resume=True))
    except nn.NonFiniteLossError:
        pass  # numbers that are none were in the file
    finally:
        for left in path.parent.glob("checkpoint-*"):
            left.unlink()
        path.touch()
