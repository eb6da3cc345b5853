"""The mathematics: every primitive of the library, as a short function of `xp`. This is the reference.

Read this folder to know what nnbackend computes: `layers`, `losses`, `regularizers`, `metrics`, `optimizers` for what has these
names above, `moving` for values on their way through a step, and `book` for what `nnbackend.book` alone needs. Kernels
(`nnbackend.kernels`) are faster versions of some of these functions and are tested against them; layers, losses and
optimizers call them as `xp.ops.name(...)`. Every public function of these files whose first argument is `xp` is an op.

Conventions
    * A leading `d` means gradient of the loss: `dvalues` is the gradient with respect to an op's output.
    * Results go into `out` (one array, or a tuple of arrays), which is returned. Inputs are never touched. Only an
      argument named `state` is updated in place.
    * Arrays that hold one number have shape () or (1,). Numbers that change from step to step are such arrays;
      Python numbers are settings that stay as they are.
    * n is the number of samples (rows). Labels (`targets` of a classification) are class indices of shape (n,).
"""

from .book import *
from .layers import *
from .losses import *
from .metrics import *
from .moving import *
from .optimizers import *
from .regularizers import *
