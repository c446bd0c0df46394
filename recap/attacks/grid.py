"""The prefill attack at several lengths of the flawed thought."""

from __future__ import annotations

from recap.attacks.attack import Attack, Case, Shot, Talk


class PrefillGrid(Attack):
    """Axis: ``attack.grid_words``. A thought shorter than a length is planted whole."""

    name = "grid"
    replayable = True

    @property
    def width(self) -> int:
        """All lengths at once."""
        return len(self.settings.grid_words)

    def talk(self, case: Case) -> Talk:
        """The prompt with the first words of one thought, for each length."""
        (thought,) = case.prefills
        parts = [self.renderer.cut(thought.text, words)[0] for words in self.settings.grid_words]
        answers = yield [self.renderer.prompt(case.record.prompt, part) for part in parts]
        return [
            Shot(number, answer, part, thought.source_model, thought.category)
            for number, (answer, part) in enumerate(zip(answers, parts, strict=True), start=1)
        ]
