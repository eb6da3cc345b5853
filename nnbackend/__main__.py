"""`python -m nnbackend` is the command `nnbackend`."""

import sys

from .cli import main

sys.exit(main())
