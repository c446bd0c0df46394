"""A judge's agreement with people."""

from __future__ import annotations

from recap.types.row import Row


class HumanAgreement(Row):
    """A judge's agreement with the labels in one column of a file, on success or not.

    The judge is known by name, revision and prompt, the file by its digest. ``n`` rows have a label
    and a verdict. ``accuracy`` is a share, ``kappa`` is Cohen's with its 95 % bootstrap interval
    over prompts; each is ``None`` where it is undefined.
    """

    judge: str
    judge_revision: str
    judge_prompt_sha: str
    file: str
    file_sha256: str
    column: str
    n: int
    n_unscored: int
    accuracy: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None

    @property
    def key(self) -> tuple[str, ...]:
        """What was measured: the judge, and the labels."""
        judge = (self.judge, self.judge_revision, self.judge_prompt_sha)
        return (*judge, self.file_sha256, self.column)
