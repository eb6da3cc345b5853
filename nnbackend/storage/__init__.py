"""Model files: parameters, architecture and optimizer state in safetensors, read without running anything.

    container.py   bytes to arrays and a JSON document, and back: the format, its checks, its SHA-256
    document.schema.json, schema.py   what the document may say
    parts.py       layers, losses, optimizers to JSON, and back
    models.py      models to documents and arrays, and back
    runs.py        training runs to documents and arrays, and back
    checkpoints.py a folder of checkpoints, which one process has

Most users call `model.save(path)` and `Model.load(path)`. `read_contents(path)` shows what any file holds.
"""

from .container import Contents, read_contents
from .models import load_model, load_parameters, save_model, save_parameters
from .runs import history_of

__all__ = [
    "Contents",
    "history_of",
    "load_model",
    "load_parameters",
    "read_contents",
    "save_model",
    "save_parameters",
]
