"""A run of `Model.train` on its way: what a checkpoint holds beside the model, in both directions.

The numbers of an epoch follow from the model alone (shuffles come from its seed and the epoch, masks from counters), so a
run goes on to the bit from the model, the history so far, and what its callbacks remember.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError, one_line, shown
from ..history import History
from ..training import Callback
from .container import Contents
from .models import model_contents, prefixed, restore, section, settings, split_arrays
from .parts import plain

if TYPE_CHECKING:
    from ..training import TrainingRun

# What decides how many threads compute, and so in which order sums are made.
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_contents(run: TrainingRun, chosen: Mapping[str, Any]) -> Contents:
    """What a checkpoint of this run holds now. `chosen` is what `chosen_settings` was before its first epoch."""
    contents = model_contents(run.model)
    arrays = {**contents.arrays, **prefixed("history", {name: np.array(run.history[name]) for name in run.history})}
    callbacks = []
    for name, callback in stateful(run):
        state, own_arrays = split_arrays(callback.state(), name)
        callbacks.append({"class": name, "state": state})
        arrays |= prefixed(f"callbacks/{len(callbacks) - 1}", own_arrays)
    document = {
        "settings": chosen,
        "environment": environment(run),
        "first_epoch": run.first_epoch,
        "stopped": run.stop,
        "columns": list(run.history),
        "callbacks": callbacks,
    }
    return Contents({**contents.document, "run": document}, arrays)


def restore_run(run: TrainingRun, contents: Contents, chosen: Mapping[str, Any]) -> None:
    """Bring a run that has not begun to where its checkpoint was, in place.

    Raises `FileError` where the checkpoint is of another run: another network, other data, other epochs.
    """
    document = contents.document["run"]
    _check_same_run(run, contents, chosen)
    _warn_of_other_environment(document["environment"], environment(run))
    restore(run.model, contents)
    _restore_history(run, document["columns"], section(contents.arrays, "history"))
    run.stop = document["stopped"]
    callbacks = dict(enumerate(document["callbacks"]))
    for name, callback in stateful(run):
        index = next((index for index, entry in callbacks.items() if entry["class"] == name), None)
        if index is not None:
            entry = callbacks.pop(index)
            _load_state(callback, {**entry["state"], **section(contents.arrays, f"callbacks/{index}")})
    if callbacks:
        names = one_line(", ".join(entry["class"] for entry in callbacks.values()), 100)
        raise FileError(f"is of a run with a callback {names}, which is missing here: expected the same callbacks")


def history_of(contents: Contents) -> History:
    """The epochs so far of a checkpoint's run."""
    arrays, history = section(contents.arrays, "history"), History()
    history.extend({name: arrays[name].tolist() for name in contents.document["run"]["columns"] if name in arrays})
    return history


def chosen_settings(run: TrainingRun) -> dict[str, Any]:
    """What the user chose for a run, before its first epoch: the parts of the model, the data's size, batches.

    Seeds are left out. A model without a given seed draws a new one each time, and goes on with the checkpoint's.
    """
    parts = settings(run.model)
    for layer in parts["layers"]:
        del layer["seed"]
    return {**parts, "dtype": run.model.xp.dtype.name, "run": plain(run.settings, "run")}


def environment(run: TrainingRun) -> dict[str, Any]:
    """What results depend on to the last bit beside the settings: machine and libraries."""
    xp = run.model.xp
    threads = {name: os.environ[name] for name in _THREADS if name in os.environ}
    return {"backend": repr(xp), "library": xp.description, "processors": processors(), **threads}


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stateful(run: TrainingRun) -> Iterator[tuple[str, Callback]]:
    """The callbacks of a run that have something to remember, with the names of their classes."""
    for callback in run.callbacks:
        if type(callback).state is not Callback.state:
            yield type(callback).__name__, callback


def _load_state(callback: Callback, state: dict[str, Any]) -> None:
    try:
        callback.load_state(state)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"has a state that {type(callback).__name__} cannot go on from: {shown(error)}") from error


def _restore_history(run: TrainingRun, columns: Sequence[str], arrays: Mapping[str, np.ndarray]) -> None:
    length = run.epoch - run.first_epoch + 1
    if any(name not in arrays or arrays[name].shape != (length,) for name in columns):
        raise FileError(
            f"is damaged: it has no history of {length} epochs; remove the newest checkpoint, or use another folder"
        )
    run.history.extend({name: arrays[name].tolist() for name in columns})


def _check_same_run(run: TrainingRun, contents: Contents, chosen: Mapping[str, Any]) -> None:
    document = contents.document["run"]
    if difference := first_difference(document["settings"], chosen):
        raise FileError(f"is of another run: {difference}; use another folder, or the same settings")
    if document["first_epoch"] != run.first_epoch:
        raise FileError(
            f"is of a run that began with epoch {document['first_epoch']}, and this one begins with epoch "
            f"{run.first_epoch}: use another folder, or begin with the same model"
        )
    if contents.document["model"]["epoch"] > run.last_epoch:
        raise FileError(
            f"is of epoch {contents.document['model']['epoch']}, and this run ends with epoch {run.last_epoch}: ask for more "
            "epochs, or use another folder"
        )


def first_difference(there: Any, here: Any, where: str = "") -> str:
    """Where two JSON values differ, in words; empty if they do not.

    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    'a[1] is 2 there and 3 here'
    """
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(there, dict) and isinstance(here, dict):
        keys = sorted({*there, *here}, key=lambda key: (key != "class", key))  # a part's class before its arguments
        pairs = [(f"{where}.{one_line(key, 40)}".lstrip("."), there.get(key), here.get(key)) for key in keys]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{where}[{i}]", one, two) for i, (one, two) in enumerate(zip(there, here, strict=True))]
    elif there != here:
        return f"{where} is {_shown(there)} there and {_shown(here)} here"
    return next((difference for at, one, two in pairs if (difference := first_difference(one, two, at))), "")


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        return one_line(str(value["class"]), 40)
    return f"{len(value)} of them" if isinstance(value, list) else shown(value, 40)


def _warn_of_other_environment(there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    if difference := first_difference(dict(there), dict(here)):
        warnings.warn(
            f"the checkpoint was made elsewhere ({difference}): the run goes on, but may not end in the same bits",
            stacklevel=2,
        )
