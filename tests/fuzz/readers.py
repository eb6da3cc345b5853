"""The table of readers: valid files, how they are changed, and what reads them."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import nnbackend as nn
from tests.fuzz import model_files, own_tables, pictures, tables
from tests.fuzz.mutate import edited
from tests.fuzz.watch import Outcome, watched


@dataclass(frozen=True)
class Reader:
    """A reader under test. `edit(rng, file, all_files)` makes an input of a valid file; `read(path)` reads it."""

    suffix: str
    seeds: Callable[[], Sequence[bytes]]
    edit: Callable[[Random, bytes, Sequence[bytes]], bytes]
    read: Callable[[Path], Any]

    def input(self, seed: int, number: int) -> bytes:
        """The input of that number."""
        rng, seeds = Random(f"{self.suffix} {seed} {number}"), self.seeds()
        return self.edit(rng, rng.choice(seeds), seeds)


READERS: dict[str, Reader] = {
    "model": Reader(".safetensors", model_files.model_seeds, model_files.edited_file, model_files.read_model),
    "parameters": Reader(".safetensors", model_files.model_seeds, model_files.edited_file, model_files.read_parameters),
    "checkpoint": Reader(
        ".safetensors", model_files.checkpoint_seeds, model_files.edited_file, model_files.read_checkpoint
    ),
    "npy": Reader(".npy", tables.npy_seeds, tables.edited_npy, tables.read_as_rows),
    "npz": Reader(".npz", tables.npz_seeds, tables.edited_npz, tables.read_as_samples),
    "csv rows": Reader(".csv", tables.csv_seeds, tables.edited_csv, tables.read_as_rows),
    "csv samples": Reader(".csv", tables.csv_seeds, tables.edited_csv, tables.read_as_samples),
    "table csv": Reader(".csv", own_tables.csv_seeds, tables.edited_csv, own_tables.read_own_table),
    "table parquet": Reader(".parquet", own_tables.parquet_seeds, edited, own_tables.read_own_table),
    "table npz": Reader(".npz", tables.npz_seeds, tables.edited_npz, own_tables.read_own_table),
    "table npy": Reader(".npy", tables.npy_seeds, tables.edited_npy, own_tables.read_own_array),
    "preprocessing": Reader(
        ".json", own_tables.preprocessing_seeds, own_tables.edited_preprocessing, own_tables.read_preprocessing
    ),
    "idx": Reader(".gz", pictures.idx_seeds, pictures.edited_idx, pictures.read_idx_file),
    "pictures": Reader(".zip", pictures.folder_seeds, pictures.edited_folder, pictures.read_folder),
    "picture": Reader(".png", pictures.image_seeds, pictures.edited_image, pictures.read_picture),
}


@dataclass(frozen=True)
class Finding:
    """An input that a reader did not stand."""

    reader: str
    seed: int
    number: int
    fault: str
    content: bytes

    @property
    def name(self) -> str:
        """Of a file to keep it in."""
        return f"{self.reader.replace(' ', '-')}-{self.seed}-{self.number}{READERS[self.reader].suffix}"

    def __str__(self) -> str:
        """In a line."""
        return f"{self.reader}, seed {self.seed}, input {self.number}, {len(self.content):,} bytes: {self.fault}"


@dataclass
class Tally:
    """How many inputs there were, how many were read without complaint, and how many different sentences were given."""

    inputs: int = 0
    accepted: int = 0
    sentences: int = 0
    slowest: float = 0.0

    def add(self, outcome: Outcome, seen: set[str]) -> None:
        """One more."""
        self.inputs += 1
        self.accepted += outcome.fault is None and not outcome.sentence
        self.slowest = max(self.slowest, outcome.seconds)
        seen.add("".join(letter for letter in outcome.sentence if not letter.isdigit())[-60:])
        self.sentences = len(seen)


def fuzz(name: str, *, seconds: float, seed: int = 0, first: int = 0, most: int = 10**9) -> Iterator[Finding]:
    """Findings of one reader as they come, each fault once. `fuzz.tally` of the last run counts what was done."""
    reader, faults, seen = READERS[name], set[str](), set[str]()
    tally = TALLIES[name] = Tally()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{reader.suffix}"
        path.write_bytes(reader.seeds()[0])
        with contextlib.suppress(nn.NNBackendError):
            reader.read(path)  # whatever is imported or compiled once
        end = time.monotonic() + seconds
        for number in range(first, first + most):
            if time.monotonic() > end:
                return
            content = reader.input(seed, number)
            path.write_bytes(content)
            outcome = watched(reader.read, path)
            tally.add(outcome, seen)
            if outcome.fault and (key := hashlib.sha256(outcome.fault[-40:].encode()).hexdigest()) not in faults:
                faults.add(key)
                yield Finding(name, seed, number, outcome.fault, content)


TALLIES: dict[str, Tally] = {}
