"""Tools for testing: for this library and for the layers of its users.

`gradcheck` compares gradients with differences of the loss; `check_layer` gives a layer of your own the whole treatment
that the library's own layers get. `tolerances` says how close is close enough, and `strict` is the pretend GPU, a backend
of that name.
"""

from .gradcheck import gradcheck
from .layers import check_layer

__all__ = ["check_layer", "gradcheck"]
