"""What people want to happen while training: stopping in time, logs, learning-rate schedules, checkpoints.

Nothing crosses between host and device within an epoch, so callbacks act at reports (see `Callback`); each asks for the
reports it needs. Give them to `Model.train(callbacks=[...])`.
"""

from ..training import Callback
from .checkpoint import Checkpoint
from .csv_log import CSVLog
from .schedules import CosineSchedule, Schedule, StepSchedule
from .stopping import EarlyStopping, StopOnNonFinite
from .tensorboard import TensorBoardLog

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "CosineSchedule",
    "EarlyStopping",
    "Schedule",
    "StepSchedule",
    "StopOnNonFinite",
    "TensorBoardLog",
]
