"""A table made ready for a network: `load_table` and what it returns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...checks import flag, fraction
from ...checks import path as checked_path
from ...checks import seed as checked_seed
from ...errors import ArgumentError, DataError, did_you_mean, shown
from .array_files import TARGET
from .columns import Chosen, Columns, find_column
from .plan import check_no_value_missing, look, plan_features
from .preprocessing import Feature, Preprocessing, TargetColumn, learn_fill, learn_scale
from .reading import ARRAYS, Source, read_table
from .split import split_rows
from .spool import Spool
from .stored import IMPUTES, to_document
from .target import TASKS, Decision, TargetScaling, decide, target_values

Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A table made ready: inputs of shape (samples, inputs), targets of shape (samples,), and what its columns are.

    `y` holds class indices (int64), or numbers in the target's own unit (float64). `preprocessing` belongs into
    `model.preprocessing` and `class_names` into `model.class_names`, so that `apply_preprocessing` and the command line do
    the same to new rows. `notes` says in sentences what was decided.
    """

    name: str
    task: str
    target: str
    X: np.ndarray
    y: np.ndarray
    validation: tuple[np.ndarray, np.ndarray] | None
    class_names: tuple[str, ...] | None
    #: The names of the inputs: of a category, `column=category`.
    input_names: tuple[str, ...]
    preprocessing: dict[str, Any]
    #: For a regression that is standardized: train on `target_scaling.scale(y)`, then `target_scaling.fold_into(model)`.
    target_scaling: TargetScaling | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        aside = "" if self.validation is None else f" and {len(self.validation[0]):,} for validation"
        classes = "" if self.class_names is None else f" into {len(self.class_names)} classes"
        return f"<Table {self.name}: {len(self.X):,} rows{aside}, {self.X.shape[1]} inputs, {self.task}{classes}>"


@dataclass(frozen=True)
class Wishes:
    """The arguments of `load_table`, checked."""

    target: Any
    task: str
    drop: tuple[Any, ...]
    categorical: tuple[Any, ...]
    impute: str | None
    standardize: bool
    validation_split: float
    seed: int | None
    dtype: np.dtype[Any]
    source: str
    #: The names of the file behind them, filled in when it is open.
    found: dict[str, Any] = field(default_factory=dict)

    def choose(self, names: Sequence[str], named: bool) -> list[Chosen]:
        """All columns but those to drop."""
        dropped = {find_column(names, one, option="drop", source=self.source) for one in self.drop}
        categorical = frozenset(
            find_column(names, one, option="categorical", source=self.source) for one in self.categorical
        )
        arrays = self.source.lower().endswith(ARRAYS)
        if arrays and TARGET not in names:
            raise DataError(f"{self.source} has no targets: expected X and y")
        default = TARGET if arrays else -1
        target = find_column(
            names, default if self.target is None else self.target, option="target", source=self.source
        )
        if target in dropped:
            raise ArgumentError(
                f"drop=[{shown(target)}]: that is the target, the last column unless target= says another"
            )
        if categorical & dropped:
            raise ArgumentError(f"{shown(min(categorical & dropped))} is in categorical= and in drop=: choose one")
        if len(names) - len(dropped) < 2:
            raise DataError(
                f"{self.source} has no columns beside the target {shown(target)}: expected one or more to learn from"
            )
        self.found.update(target=target, categorical=categorical - {target}, names=tuple(names))
        return [
            Chosen(i, name, name in categorical and name != target)
            for i, name in enumerate(names)
            if name not in dropped
        ]


def load_table(
    path: Path,
    *,
    target: str | int | None = None,
    targets: Path | None = None,
    task: str = "auto",
    drop: Sequence[str | int] = (),
    categorical: Sequence[str | int] = (),
    impute: str | None = None,
    standardize: bool = True,
    validation_split: float = 0.0,
    header: bool | None = None,
    seed: int | None = None,
    dtype: Any = np.float32,
) -> Table:
    """A table of your own, .csv, .tsv, .parquet (extra `data`), .npz with X and y, or .npy with `targets`, made ready.

    `target` is the column to be found out, by name or number (default: the last); `task` is classification, regression or
    auto, by the target's values. Words become one input for each category. Columns in `drop` are left out; numbers in a
    column of `categorical` are categories. A missing value is refused unless `impute` is mean, median or most-frequent (of
    a category always the latter). With `standardize` numbers become (x - mean) / standard deviation. `validation_split` is
    put aside by `seed`, for a classification with every class in its share; statistics are those of the other rows.
    `header=False` says that the first line of a .csv file has no names.

    Raises `ArgumentError` for a wrong setting, `FileError` for what cannot be read, and `DataError`, with line and column.

    >>> import nnbackend as nn
    >>> with open("flowers.csv", "w") as file:
    ...     _ = file.write("length,colour,kind\\n1.5,red,tulip\\n2.5,blue,iris\\n1.0,red,tulip\\n3.0,blue,iris\\n")
    >>> table = nn.datasets.load_table("flowers.csv", standardize=False)
    >>> table
    <Table flowers.csv: 4 rows, 3 inputs, classification into 2 classes>
    >>> table.input_names, table.class_names
    (('length', 'colour=blue', 'colour=red'), ('iris', 'tulip'))
    >>> table.X[0].tolist(), table.y.tolist()
    ([1.5, 0.0, 1.0], [1, 0, 1, 0])
    """
    source = checked_path("path", path)
    wishes = Wishes(
        target,
        _one_of("task", task, ("auto", *TASKS)),
        _several("drop", drop),
        _several("categorical", categorical),
        None if impute is None else _one_of("impute", impute, IMPUTES),
        flag("standardize", standardize),
        fraction("validation_split", validation_split),
        None if seed is None else checked_seed(seed),
        _dtype(dtype),
        os.path.basename(source),
    )
    if header is not None:
        flag("header", header)
    if source.lower().endswith(".npy") and targets is None:
        raise ArgumentError(f"{path} holds inputs alone: give the file of their targets with targets='y.npy'")
    return _table(read_table(path, wishes.choose, targets=targets, header=header), wishes)


def _table(source: Source, wishes: Wishes) -> Table:
    columns, target = source.columns, wishes.found["target"]
    found = look(columns)
    decision = decide(columns, target, found[target], wishes.task)
    others = {name: one for name, one in found.items() if name != target}
    check_no_value_missing(columns, others, imputed=wishes.impute is not None)
    features = plan_features(columns, found, wishes.found["categorical"], target)
    y = target_values(columns, target, columns.columns[target], decision.classes)
    kept, aside = split_rows(columns, y, decision.classes, wishes.validation_split, wishes.seed)
    done = _learn(
        columns, features, TargetColumn(target, wishes.found["names"].index(target), decision.classes), wishes, kept
    )
    as_it_is = source.matrix is not None and not aside.size and done.leaves_alone(source.matrix.shape[1])
    spool = Spool()
    X = source.matrix if as_it_is else done.encode(columns, kept, wishes.dtype, spool)
    validation = (done.encode(columns, aside, wishes.dtype, spool), y[aside]) if aside.size else None
    regression = decision.classes is None and wishes.standardize
    assert X is not None
    return Table(
        columns.source,
        decision.task,
        target,
        X,
        y[kept],
        validation,
        decision.classes,
        input_names(features),
        to_document(done),
        TargetScaling.of(y[kept]) if regression else None,
        tuple(_notes(columns, wishes, decision, done, sum(one.missing for one in others.values()), aside.size)),
    )


def _learn(
    columns: Columns, features: Sequence[Feature], target: TargetColumn, wishes: Wishes, rows: np.ndarray
) -> Preprocessing:
    """The preprocessing that some rows of a table teach."""
    count = len(wishes.found["names"])
    width = sum(feature.width for feature in features)
    nothing = np.zeros(width), np.ones(width)
    bare = Preprocessing(
        tuple(features),
        target,
        columns.named,
        count,
        wishes.impute,
        wishes.standardize,
        np.zeros(len(features)),
        *nothing,
    )
    filled = replace(bare, fill=learn_fill(wishes.impute, features, bare.find(columns), rows))
    if not wishes.standardize:
        return filled
    mean, deviation = learn_scale(filled, columns, rows)
    return replace(filled, mean=mean, standard_deviation=deviation)


def input_names(features: Sequence[Feature]) -> tuple[str, ...]:
    """What each input of the network stands for."""
    names: list[str] = []
    for feature in features:
        names += [feature.name] if feature.categories is None else [f"{feature.name}={c}" for c in feature.categories]
    return tuple(names)


def _notes(
    columns: Columns, wishes: Wishes, decision: Decision, done: Preprocessing, missing: int, aside: int
) -> list[str]:
    """What was decided, and how to say otherwise."""
    arrays = columns.source.lower().endswith(ARRAYS)
    last = ", the last column (see target=)" if wishes.target is None and not arrays else ""
    how = "" if wishes.task != "auto" else " (see task=)"
    notes = [f"target: {wishes.found['target']}{last}; {decision.task}, {decision.why}{how}"]
    words = [f"{f.name} ({f.width})" for f in done.features if f.categories is not None]
    numbers = len(done.features) - len(words)
    what = [f"{numbers} of numbers"] if numbers else []
    if words:
        what.append(f"{len(words)} of categories, {', '.join(words[:6])}{', ...' if len(words) > 6 else ''}")
    scaled = "standardized (see standardize=False)" if wishes.standardize else "as they are (see standardize=True)"
    notes.append(f"columns: {' and '.join(what)}{f'; numbers {scaled}' if numbers else ''}")
    if missing:
        notes.append(
            f"missing: {missing:,} value{'s' if missing > 1 else ''}, filled in with impute={shown(wishes.impute)}"
        )
    if not columns.named and columns.lines is not None:
        notes.append(f"header: none, so columns are {columns.all_names[0]}, ... (see header=True)")
    if aside:
        share = ", every class in its share" if decision.classes is not None else ""
        notes.append(f"validation: {aside:,} of {len(columns):,} rows put aside{share} (see validation_split=)")
    return [*notes, *columns.notes, *_row_numbers(columns, done)]


def _row_numbers(columns: Columns, done: Preprocessing) -> list[str]:
    """A note on each column that only counts the rows."""
    notes = []
    for feature in done.features:
        numbers = columns.columns[feature.name].numbers
        if feature.categories is None and columns.lines is not None and len(numbers) > 2:
            start = numbers[0]
            if start in (0, 1) and numbers[-1] == start + len(numbers) - 1 and (np.diff(numbers) == 1).all():
                notes.append(
                    f"column {feature.name} only counts the rows: leave it out with drop=[{shown(feature.name)}]"
                )
    return notes


def _one_of(name: str, value: Any, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{name}={shown(value)}: {did_you_mean(value, known)}")
    return value


def _several(name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
        raise ArgumentError(f"{name} {shown(value)}: expected a list of columns, such as ['id']")
    return tuple(value)


def _dtype(value: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ArgumentError(f"dtype {shown(value)}: expected float32 or float64")
    return dtype
