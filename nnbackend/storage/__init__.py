"""Model files: parameters, architecture and optimizer state in safetensors, read without running anything.

    container.py   bytes to arrays and a JSON document, and back: the format, its checks, its SHA-256
    document.schema.json, schema.py   what the document may say
    parts.py       layers, losses, optimizers to JSON, and back
    models.py      models to documents and arrays, and back
    files.py       files that are replaced whole or not at all

Most users call `model.save(path)` and `Model.load(path)`. `read_contents(path)` shows what any file holds.
"""

from .container import Contents, read_contents
from .models import load_model, load_parameters, save_model, save_parameters

__all__ = ["Contents", "load_model", "load_parameters", "read_contents", "save_model", "save_parameters"]
