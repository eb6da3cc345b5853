"""Tables in Parquet files, read row group by row group by pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...errors import DataError, FileError, NNBackendError, StateError, shown
from .cells import word_of
from .columns import Choose, Chosen, ColumnBuilder, Columns, check_names
from .spool import Spool

AT_A_TIME = 2**16


def read_parquet(path: str, choose: Choose) -> Columns:
    """The chosen columns of a file. Needs pyarrow (extra `data`). Raises `StateError`, `FileError` and `DataError`."""
    pa, parquet = _pyarrow(path)
    name = os.path.basename(path)
    with _reading(path, pa), open(path, "rb") as file:
        table = parquet.ParquetFile(file)
        schema = table.schema_arrow
        names = list(schema.names)
        check_names(names, name)
        positions = {column: i for i, column in enumerate(names)}
        chosen = [Chosen(positions[c.name], c.name, c.as_words) for c in choose(names, True)]
        for column in chosen:
            _check_type(pa, schema.field(column.position).type, name, column.name)
        spool = Spool()
        builders = [ColumnBuilder(spool, as_words=column.as_words) for column in chosen]
        # By position: a name may have dots, which Parquet takes for a path into a nested column.
        tops = [column.position for column in chosen]
        for batch in table.iter_batches(batch_size=AT_A_TIME):
            for builder, top in zip(builders, tops, strict=True):
                _add(pa, builder, batch.column(top))
        rows = table.metadata.num_rows
    if not rows:
        raise DataError(f"{name} has no rows: expected one for each sample")
    columns = {column.name: builder.finish() for column, builder in zip(chosen, builders, strict=True)}
    return Columns(name, columns, True, None, tuple(names))


def _pyarrow(path: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise StateError(
            f"{path} needs pyarrow, which is not installed: pip install 'nnbackend[data]', or write the table as .csv"
        ) from None
    return pyarrow, pyarrow.parquet


@contextmanager
def _reading(path: str, pa: Any) -> Iterator[None]:
    """A block whose errors are those of this file."""
    try:
        yield
    except NNBackendError:
        raise
    except (pa.ArrowException, ValueError) as error:  # letters that are no UTF-8 are a ValueError
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise FileError(f"{path} is damaged, or no Parquet file ({reason}): get a new copy") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:200]
        raise FileError(f"cannot read {path}: {reason}") from error


def _is_numeric(pa: Any, kind: Any) -> bool:
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _is_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind) or types.is_null(kind)


def _check_type(pa: Any, kind: Any, source: str, name: str) -> None:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (_is_numeric(pa, inner) or _is_text(pa, inner)):
        raise DataError(
            f"{source}, column {shown(name)} holds values of {kind}: expected numbers, words or booleans; turn them into such, "
            f"or leave the column out with drop=[{shown(name)}]"
        )


def _add(pa: Any, builder: ColumnBuilder, values: Any) -> None:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if _is_numeric(pa, values.type):
        numbers = values.cast(pa.float64(), safe=False) if not pa.types.is_float64(values.type) else values
        builder.add_numbers(np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64))
    else:
        words = [None if value is None else word_of(str(value)) for value in values.to_pylist()]
        builder.add_words(words)
