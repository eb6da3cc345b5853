"""Files that are not what they should be are named for what they are, and no file is ever half written."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import nnbackend as nn
from nnbackend import files, storage
from nnbackend.storage import container, schema
from tests.test_storage import new_model

# -- files that are not what they should be --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_file() -> bytes:
    model = nn.Model([nn.Dense(1, 1), nn.Dropout(0.5)], loss=nn.MeanSquaredError(), optimizer=nn.SGD(), seed=3)
    model.class_names = ["é"]
    return container.encode(storage.models.model_contents(model))


def test_encoding_what_was_decoded_gives_the_same_bytes(small_file: bytes) -> None:
    assert container.encode(container.decode(small_file)) == small_file


def same(one: storage.Contents, other: storage.Contents) -> bool:
    return (
        one.document == other.document
        and one.arrays.keys() == other.arrays.keys()
        and all(
            one.arrays[name].dtype == array.dtype and one.arrays[name].tobytes() == array.tobytes()
            for name, array in other.arrays.items()
        )
    )


@pytest.mark.parametrize("bits", [0x01, 0x20, 0x80, 0xFF], ids=hex)
def test_any_changed_byte_is_noticed_or_changes_nothing(small_file: bytes, bits: int) -> None:
    whole = container.decode(small_file)
    noticed = 0
    for position in range(len(small_file)):
        changed = bytearray(small_file)
        changed[position] ^= bits
        try:
            assert same(container.decode(bytes(changed)), whole), f"byte {position} was changed, and nobody noticed"
        except nn.FileError:
            noticed += 1
    assert noticed > 0.99 * len(small_file)


def test_any_cut_is_noticed(small_file: bytes) -> None:
    for length in range(len(small_file)):
        with pytest.raises(nn.FileError):
            container.decode(small_file[:length])
    with pytest.raises(nn.FileError):
        container.decode(small_file + b"\0")


def altered(raw: bytes, **changes: Any) -> bytes:
    """A file whose document was changed by someone who also computes the SHA-256 anew."""
    contents = container.decode(raw)
    document = {**contents.document, **changes}
    text = container.canonical({**document, "sha256": container._digest(document, contents.arrays)})
    return safetensors.numpy.save(contents.arrays, metadata={"nnbackend": text})


FOREIGN = {
    "missing": (None, "cannot read .*: No such file or directory"),
    "empty": (b"", "is not a model file of nnbackend: it is empty"),
    "text": (b"hello, world, this is no model", "it is in no format that is known here"),
    "pickle": (pickle.dumps({"model": [1.0]}), "but a pickle file, as the book's own code saves them"),
    "zip": (b"PK\x03\x04" + bytes(30), "but a zip file"),
    "npy": (b"\x93NUMPY" + bytes(30), "but a NumPy .npy file"),
    "hdf5": (b"\x89HDF\r\n" + bytes(30), "but an HDF5 file"),
    "safetensors": (
        safetensors.numpy.save({"weight": np.zeros(3, np.float32)}, metadata={"format": "pt"}),
        "is a safetensors file, but not of nnbackend",
    ),
    "no metadata": (safetensors.numpy.save({"weight": np.zeros(3)}), "is a safetensors file, but not of nnbackend"),
    "list": (b"\x02\0\0\0\0\0\0\0[]", "it is in no format that is known here"),
    "deep": ((200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 199_995, "its header is not JSON"),
    "other dtype": (
        safetensors.numpy.save(
            {"a": np.zeros(3, np.float16)}, metadata={"nnbackend": '{"format":"nnbackend","version":1}'}
        ),
        "holds F16 values in 'a'",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_named_for_what_they_are(kind: str, tmp_path: Path) -> None:
    raw, sentence = FOREIGN[kind]
    path = tmp_path / "file"
    if raw is not None:
        path.write_bytes(raw)
    for read in (nn.Model.load, new_model().load_parameters, storage.read_contents):
        with pytest.raises(nn.FileError, match=sentence) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_of_a_newer_version(small_file: bytes) -> None:
    with pytest.raises(nn.FileError, match="has format version 2, and this nnbackend reads up to 1: install a newer"):
        container.decode(altered(small_file, version=2, dtype="float8"))


def test_truncated_and_altered(small_file: bytes) -> None:
    with pytest.raises(nn.FileError, match="is truncated"):
        container.decode(small_file[:-1])
    with pytest.raises(nn.FileError, match="is truncated"):
        container.decode(small_file[:100])
    changed = small_file.replace(b'"seed\\":3', b'"seed\\":4')
    assert changed != small_file
    with pytest.raises(nn.FileError, match="is damaged or was altered: its contents do not have the SHA-256 it names"):
        container.decode(changed)


def test_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(nn.FileError, match="Is a directory"):
        nn.Model.load(tmp_path)
    with pytest.raises(nn.FileError, match="expected a regular file"):
        nn.Model.load("/dev/zero")


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise_file_error(raw: bytes) -> None:
    for start in (b"", len(raw).to_bytes(8, "little"), len(raw).to_bytes(8, "little") + b"{"):
        with pytest.raises(nn.FileError):
            container.decode(start + raw)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON document."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [spot for key in keys for spot in spots(value[key])]


@st.composite
def mutated(draw: Any, document: dict[str, Any]) -> dict[str, Any]:
    """The document with one value replaced, removed, or put in twice under another name."""
    document = copy.deepcopy(document)
    holder, key = draw(st.sampled_from(spots(document)))
    match draw(st.sampled_from(["replace", "swap", "remove", "add"])):
        case "replace":
            holder[key] = draw(VALUES)
        case "swap":
            other, name = draw(st.sampled_from(spots(document)))
            holder[key] = copy.deepcopy(other[name])
        case "remove":
            del holder[key]
        case "add":
            value = draw(VALUES)
            holder.insert(key, value) if isinstance(holder, list) else holder.update({draw(st.text(max_size=5)): value})
    return document


@given(st.data())
def test_no_document_does_more_than_raise_file_error(small_file: bytes, tmp_path_factory, data) -> None:
    """Someone who knows the format and writes whatever document they like: a model, or one sentence."""
    contents = container.decode(small_file)
    document = data.draw(mutated(contents.document))
    path = tmp_path_factory.getbasetemp() / "mutated"
    sentences: list[str] = []
    text = container.canonical({**document, "sha256": container._digest(document, contents.arrays)})
    path.write_bytes(safetensors.numpy.save(contents.arrays, metadata={"nnbackend": text}))
    try:
        nn.Model.load(path).predict([[1.0]])
    except nn.DataError:
        pass  # a model of another width was loaded
    except nn.FileError as error:
        sentences.append(str(error))
    assert all("\n" not in sentence for sentence in sentences)


def test_a_file_cannot_ask_for_memory_that_it_does_not_fill(small_file: bytes, tmp_path: Path) -> None:
    model = copy.deepcopy(container.decode(small_file).document["model"])
    model["layers"][0]["arguments"] |= {"n_inputs": 10**6, "n_neurons": 10**9}
    (tmp_path / "model").write_bytes(altered(small_file, model=model))
    with pytest.raises(nn.FileError, match="the model expects"):
        nn.Model.load(tmp_path / "model")


def test_a_file_cannot_choose_the_backend_or_a_class_in_the_wrong_place(small_file: bytes, tmp_path: Path) -> None:
    model = container.decode(small_file).document["model"]
    entry = {"class": "SGD", "arguments": {"learning_rate": 1.0}}
    for place, value, sentence in (
        ("arguments", {"rate": 0.5, "backend": "gpu"}, "gives Dropout an argument 'backend'"),
        ("arguments", {"rate": 0.5, "__class__": "x"}, "describes a Dropout that cannot be built"),
        ("arguments", {"rate": entry}, "holds the argument 'SGD', which is unknown here"),
        ("class", "SGD", "holds the layer 'SGD', which is unknown here"),
        ("class", "os.system", "holds the layer 'os.system', which is unknown here"),
    ):
        changed = copy.deepcopy(model)
        changed["layers"][1][place] = value
        (tmp_path / "model").write_bytes(altered(small_file, model=changed))
        with pytest.raises(nn.FileError, match=sentence):
            nn.Model.load(tmp_path / "model")


# -- the schema ------------------------------------------------------------------------------------------------------------


def test_the_schema_is_a_schema_and_uses_what_the_checker_knows() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())
    known = {"$ref", "type", "const", "enum", "minimum", "maximum", "minItems", "items", "required", "properties"}
    known |= {"additionalProperties", "dependentRequired", "description", "title", "$schema", "$defs"}

    def keywords(rules: Any) -> set[str]:
        found = set(rules)
        for name in ("properties", "$defs"):
            found |= {key for inner in rules.get(name, {}).values() for key in keywords(inner)}
        for name in ("items", "additionalProperties"):
            if isinstance(rules.get(name), dict):
                found |= keywords(rules[name])
        return found

    assert keywords(schema.schema()) <= known


@given(st.data())
def test_the_checker_agrees_with_jsonschema(small_file: bytes, data) -> None:
    document = data.draw(mutated(container.decode(small_file).document))
    ours = schema.violation(document)
    theirs = jsonschema.Draft202012Validator(schema.schema()).is_valid(document)
    # JSON Schema takes 1.0 for an integer; here a count is an int, as it was written.
    if any(isinstance(holder[key], float) and holder[key].is_integer() for holder, key in spots(document)):
        assert theirs or ours
    else:
        assert theirs == (not ours), ours


# -- writing ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    new_model(seed=1).save(path)
    return path


def full_disk(after: int) -> Any:
    """An `os.write` that accepts so many bytes, and then finds the disk full."""
    left = after
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(data[:left]))
        left -= written
        return written

    return write


@pytest.mark.parametrize("after", [0, 1, 1000])
def test_a_full_disk_leaves_the_old_file(old_file: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = old_file.read_bytes()
    monkeypatch.setattr(files.os, "write", full_disk(after))
    with pytest.raises(
        nn.FileError, match=r"cannot write .*: No space left on device; the old file is as it was"
    ) as caught:
        new_model().save(old_file)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert old_file.read_bytes() == before
    assert [path.name for path in old_file.parent.iterdir()] == [old_file.name]


@pytest.mark.parametrize("call", ["fsync", "replace", "open", "fchmod"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()], ids=["eio", "ctrl-c"]
)
def test_no_failure_touches_the_old_file(
    old_file: Path, call: str, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old_file.read_bytes()

    def fail(*arguments: Any, **keywords: Any) -> Any:
        raise error

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(nn.FileError if isinstance(error, OSError) else KeyboardInterrupt):
        new_model().save(old_file)
    monkeypatch.undo()
    assert old_file.read_bytes() == before
    assert [path.name for path in old_file.parent.iterdir()] == [old_file.name]


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A real file system of 64 KiB, where the system lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root, and a system that allows it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tiny_disk: Path) -> None:
    path = tiny_disk / "model.safetensors"
    new_model().save(path)
    before = path.read_bytes()
    large = nn.Model([nn.Dense(200, 200)])
    with pytest.raises(nn.FileError, match="No space left on device; the old file is as it was"):
        large.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tiny_disk) == [path.name]
    nn.Model.load(path)


def test_links_are_followed_and_permissions_kept(old_file: Path) -> None:
    old_file.chmod(0o640)
    link = old_file.parent / "link"
    link.symlink_to(old_file.name)
    new_model().save(link)
    assert link.is_symlink()
    assert old_file.stat().st_mode & 0o777 == 0o640
    assert nn.Model.load(old_file).seed == 7


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    new_model().save(tmp_path / "model")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(nn.FileError, match=r"cannot write .*: No such file or directory; name a file in a folder"):
        new_model().save(tmp_path / "missing" / "model")
    with pytest.raises(nn.FileError, match=r"cannot write .*: Is a directory$"):
        new_model().save(tmp_path)
