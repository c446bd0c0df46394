"""The tree of errors. Every message says what was expected, what came, and how to fix it.

    RecapError                 exit code 2 unless said otherwise
    ├── ParameterError         an unknown, ill-typed or contradictory parameter
    ├── DataError              a file or table is missing, malformed or unsound
    │   └── ExpectationError   a Great Expectations suite failed
    ├── ModelError             a model directory is missing, incomplete or not at the pinned commit
    ├── RenderError            a text cannot be rendered to exactly one BOS and one open think tag
    ├── JudgeError             a judge is unreliable: it fails, or gives every answer the same label
    ├── TrainingError          training cannot go on (no informative groups, NaN losses)
    ├── SyncError              the rollout engine does not serve the policy's weights
    ├── CheckpointError        a saved state does not belong to this run
    ├── SpaceError             too little free disk                                  (exit code 28)
    ├── BusyError              another process writes the same output                (exit code 75)
    ├── GateError              promotion of a version that did not pass
    ├── PipelineError          DVC cannot read the project, or a stage of it failed
    ├── ServiceError           a server of `recap services` does not start, end or answer
    └── TrackingError          the tracking store or the registry cannot be used     (exit code 69)

Every other exception is a bug of ours and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class RecapError(Exception):
    """Base of all errors that the user can fix; shown as one message, without a traceback."""

    exit_code = 2


class ParameterError(RecapError):
    """An unknown, ill-typed or contradictory parameter."""


class DataError(RecapError):
    """A file or table is missing, malformed or unsound."""


class ExpectationError(DataError):
    """A Great Expectations suite failed."""


class ModelError(RecapError):
    """A model directory is missing, incomplete or not at the pinned commit."""


class RenderError(RecapError):
    """A text cannot be rendered to exactly one BOS and one open think tag."""


class JudgeError(RecapError):
    """A judge is unreliable: too much is unscored, or every answer has the same label."""


class TrainingError(RecapError):
    """Training cannot go on."""


class SyncError(RecapError):
    """The rollout engine does not serve the policy's weights."""


class CheckpointError(RecapError):
    """A saved state does not belong to this run."""


class SpaceError(RecapError):
    """Too little free disk."""

    exit_code = 28


class BusyError(RecapError):
    """Another process writes the same output."""

    exit_code = 75


class GateError(RecapError):
    """Promotion of a version that did not pass its gate."""


class PipelineError(RecapError):
    """DVC cannot read the project, or a stage of it failed."""


class ServiceError(RecapError):
    """A server of `recap services` does not start, end or answer."""


class TrackingError(RecapError):
    """The tracking store or the registry cannot be used; the files are complete nevertheless."""

    exit_code = 69


def choices(names: Iterable[str]) -> str:
    """``a, b or c``, sorted, for messages that list valid values."""
    ordered = sorted(names)
    if len(ordered) < 2:
        return "".join(ordered)
    return ", ".join(ordered[:-1]) + " or " + ordered[-1]
