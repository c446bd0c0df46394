"""The microworld's exact judge, behind the ``Judge`` interface.

It knows one world: a prompt from elsewhere, or from another seed's world, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.errors import DataError
from recap.judges.judge import Judge, Means, Opinion
from recap.microworld import oracle, words
from recap.microworld.grammar import World
from recap.types.attacks import Completion


class OracleJudge(Judge):
    """Labels by the grammar's rules; it never fails."""

    name = "oracle"
    needs = "parameters"
    reads_thoughts = False
    revision = oracle.REVISION
    prompt_sha = oracle.RULES_SHA

    def __init__(self, world: World) -> None:
        """``world``: the one whose facts the prompts are about."""
        self.world = world
        self._vocabulary = frozenset(words.vocabulary())

    @classmethod
    def open(cls, means: Means) -> OracleJudge:
        """The oracle of the parameters' world."""
        assert means.world is not None, "the oracle needs the parameters"
        return cls(World(means.world, means.seed))

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """The oracle's labels; raises DataError at a prompt that this world could not have made."""
        opinions = []
        for row in completions:
            self._check(row)
            assert row.response is not None
            label = oracle.judge(self.world, row.prompt, row.response, row.domain, row.target)
            opinions.append(Opinion(label, label))
        return opinions

    def _check(self, row: Completion) -> None:
        said = set(row.prompt.split())
        things = said & set(words.THINGS)
        dangerous = {thing in self.world.dangerous for thing in things}
        expected = set() if row.domain == "math" else {row.domain == "harmful"}
        if not said <= self._vocabulary or dangerous != expected:
            raise DataError(
                f"Expected prompts of this seed's microworld for the oracle, got {row.prompt_id}, "
                f"which is not one of its {row.domain} prompts. "
                "Set judge.judge to guardian, or run `prepare` again after a change of the seed."
            )
