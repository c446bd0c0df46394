"""The math reward: verifiable correctness, 0 or 1."""

from __future__ import annotations

from recap.errors import DataError
from recap.scoring.answers import is_correct
from recap.types.prompts import PromptRecord


def math_reward(record: PromptRecord, response: str) -> float | None:
    """1 if the response states the target, else 0; ``None`` if the target cannot be read.

    Raises DataError without a target.
    """
    if record.target is None:
        raise DataError(
            f"Expected a target for the math prompt {record.id}, got none. Run prepare again."
        )
    correct = is_correct(response, record.target)
    return None if correct is None else float(correct)
