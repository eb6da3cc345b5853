"""`nnbackend train`: what to learn, and where to compute."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..tasks import DATA_SETS, Task, load_task


@dataclass
class DataOptions:
    """The data and the backend."""

    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help=f"What to learn: {'|'.join(DATA_SETS)}, or a table: .csv, .parquet, .npz, .npy.",
            show_default=False,
        ),
    ]
    path: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="PATH", help="Your copy of Fashion-MNIST: PNG folders, their zip, or IDX files."
        ),
    ] = None
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu|gpu:N|auto|strict",
            help="Where to compute: auto is a GPU if one works, strict a pretend GPU for tests "
            "(default: what the environment variable NNBACKEND says, else cpu).",
        ),
    ] = None
    dtype: Annotated[str, typer.Option(metavar="float32|float64", help="The precision of every array.")] = "float32"
    matmul_precision: Annotated[
        str,
        typer.Option(
            metavar="float32|tf32|bfloat16",
            help="How a GPU rounds the factors of float32 matrix products; tf32 and bfloat16 are faster, and turn on kernels "
            "that no GPU has proved yet.",
        ),
    ] = "float32"
    kernels: Annotated[
        str,
        typer.Option(metavar="auto|reference|all", help="Which faster operations to use: those proved, none, or all."),
    ] = "auto"
    seed: Annotated[int, typer.Option(metavar="N", help="Decides data, initial weights, shuffling and dropout.")] = 0
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Samples a class (default: 100; sine: 1000 in all).")
    ] = None
    classes: Annotated[int | None, typer.Option(metavar="N", help="Spiral arms or clouds (default: 3).")] = None
    binary: Annotated[bool, typer.Option("--binary", help="Tell two classes apart by one sigmoid (chapter 16).")] = (
        False
    )

    def load(self) -> Task:
        """The data, and what they ask for."""
        return load_task(
            self.data, samples=self.samples, classes=self.classes, binary=self.binary, seed=self.seed, path=self.path
        )
