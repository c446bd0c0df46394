"""Informative rollouts per second: our loop beside a stock ``trl.GRPOTrainer``, in turn.

Both start from the same policy, meet the same stream of rendered prompts (prefills in them), are
rewarded by the same guardian, decode alike and take the same optimizer steps with the same loss.
Stock TRL draws with ``transformers.generate`` and learns from whatever it gets; ours draws with
TorchSampler and refills. A rollout is informative if its group passes our rule (``filter_group``):
the others have no or next to no advantage. TRL's own loop drives: whenever it has ended an update,
ours makes one, so that what else the machine does hits both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig

from recap.errors import DataError
from recap.models.weights import load_model
from recap.render import Renderer
from recap.rewards.router import Rewards
from recap.rl.cell import CellInputs, make_trainer
from recap.rl.dynamic_sampling import filter_group
from recap.rl.metrics import PARTS, with_speed
from recap.rl.trainer import RecapTrainer
from recap.scoring.guardian import load_guardian
from recap.tracking.live import Line, numbers
from recap.types.prompts import PrefilledPrompt, RenderedPrompt
from recap.types.rollouts import FinishReason, Rollout, Sample
from tests.bench.page import Table, Target
from tests.stock import GRPOTrainer

WANTED, OTHER = 2.0, 0.1
MICRO_BATCHES = 4
"""Parts of stock TRL's optimizer step: of 1, 2, 4, 8 about the fastest (a fifth faster than 1)."""
ENDS = 10
"""Updates at the beginning and at the end over which groups without contrast are compared."""


@dataclass(slots=True)
class Tally:
    """What a loop did in how much time; counts are of each update."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    drawn: list[int] = field(default_factory=list)
    informative: list[int] = field(default_factory=list)
    tokens: int = 0
    _started: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """The clock runs for this loop."""
        self._started = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """The clock stands."""
        self.seconds += time.perf_counter() - self._started[0]
        self.cpu_seconds += time.process_time() - self._started[1]

    def count(self, drawn: int, informative: int, tokens: int) -> None:
        """Groups of one update, and the tokens of all."""
        self.drawn.append(drawn)
        self.informative.append(informative)
        self.tokens += tokens

    def wasted(self, some: slice) -> float:
        """Share of drawn groups in some updates that are not informative."""
        return 1.0 - sum(self.informative[some]) / sum(self.drawn[some])


@dataclass(slots=True)
class Race:
    """Both loops' tallies, and our updates' metrics with their speed."""

    stock: Tally = field(default_factory=Tally)
    ours: Tally = field(default_factory=Tally)
    lines: list[Line] = field(default_factory=list)


class StockTrainer(GRPOTrainer):
    """TRL's trainer as it is, but for its message home."""

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""


class StockRewards:
    """TRL's reward function: our rewards, and our rule on the groups they make."""

    __name__ = "rewards"

    def __init__(self, cell: CellInputs, renderer: Renderer, race: Race) -> None:
        """Rewards with a guardian of its own, so that neither loop warms it up for the other."""
        train = cell.train
        self._scorer = Rewards(
            load_guardian(cell.guardian), train.safety_reward, train.truncated_reward
        )
        self._train, self._renderer, self._race = train, renderer, race
        self.prompts: list[PrefilledPrompt] = []

    def __call__(
        self, completion_ids: Sequence[Sequence[int]], number: Sequence[int], **_: Any
    ) -> list[float | None]:
        """One reward for each completion; ``number`` is its prompt's place in the stream."""
        rollouts = [
            self._rollout(self.prompts[index], tuple(ids))
            for index, ids in zip(number, completion_ids, strict=True)
        ]
        rewards = self._scorer.score(rollouts)
        size, train = self._train.grpo.num_generations, self._train
        kept = [
            filter_group(rewards[i : i + size], tau=train.tau, epsilon=train.reward_epsilon)
            == "kept"
            for i in range(0, len(rewards), size)
        ]
        self._race.stock.count(len(kept), sum(kept), sum(map(len, completion_ids)))
        return [reward.value for reward in rewards]

    def _rollout(self, prompt: PrefilledPrompt, ids: tuple[int, ...]) -> Rollout:
        reason: FinishReason = (
            "stop" if ids and ids[-1] in self._renderer.turn.stop_ids else "length"
        )
        cot, response, *_ = self._renderer.split(ids)
        return Rollout(prompt, RenderedPrompt((), 0), Sample(ids, (), reason), cot, response)


class InTurn(TrainerCallback):
    """After each update of TRL's loop, one of ours, with its own clock and random numbers."""

    def __init__(self, race: Race, ours: RecapTrainer, updates: int, steps: int) -> None:
        """``steps``: optimizer steps of an update."""
        self._race, self._ours, self._updates, self._steps = race, ours, updates, steps

    # The signatures are TrainerCallback's, whose keywords have no types.
    def on_train_begin(self, args, state, control, **_):  # type: ignore[no-untyped-def]
        """TRL's clock runs from the start of its loop."""
        self._race.stock.start()

    def on_step_end(self, args, state, control, **_):  # type: ignore[no-untyped-def]
        """Our turn, when the step was an update's last."""
        number, step = divmod(state.global_step, self._steps)
        if step:
            return
        race = self._race
        race.stock.stop()
        with torch.random.fork_rng(devices=[]):
            race.ours.start()
            metrics, speed = self._ours.update(number)
            race.ours.stop()
        line = numbers(with_speed(metrics, speed))
        race.lines.append(line)
        race.ours.count(*(int(line[name]) for name in ("groups_drawn", "groups_kept", "tokens")))
        control.should_training_stop = number == self._updates
        race.stock.start()


def run_race(cell: CellInputs, updates: int, scratch: Path) -> Race:
    """Train both for so many updates of a run of the cell's full length."""
    race, train = Race(), cell.train
    renderer = Renderer.from_dir(cell.policy)
    rewards = StockRewards(cell, renderer, race)
    ours = make_trainer(cell)
    stream = ours._collector.stream
    rewards.prompts = stream.take(updates * train.prompts_per_update)
    stream.cursor = 0  # all of its state: ours meets the same prompts from the first one on
    steps = train.grpo.steps_per_generation
    stock = StockTrainer(
        model=load_model(cell.policy),
        reward_funcs=rewards,
        args=stock_config(cell, scratch),
        train_dataset=Dataset.from_dict(
            {
                "prompt": stock_prompts(renderer, rewards.prompts),
                "number": list(range(len(rewards.prompts))),
            }
        ),
        processing_class=renderer.tokenizer,
        callbacks=[InTurn(race, ours, updates, steps)],
    )
    stock.remove_callback(PrinterCallback)
    stock.train()
    return race


def stock_config(cell: CellInputs, scratch: Path) -> GRPOConfig:
    """TRL's options for the same update: cache on, nothing recomputed, logged or saved.

    An optimizer step is taken in ``MICRO_BATCHES`` parts, which changes no gradient.
    """
    train, grpo = cell.train, cell.train.grpo
    rows = train.prompts_per_update * grpo.num_generations // grpo.steps_per_generation
    parts = math.gcd(rows, MICRO_BATCHES)
    options = grpo.model_dump() | {"steps_per_generation": parts * grpo.steps_per_generation}
    return GRPOConfig(
        **options,
        output_dir=str(scratch),
        loss_type="dapo",
        epsilon=train.epsilon_low,
        epsilon_high=train.epsilon_high,
        per_device_train_batch_size=rows // parts,
        gradient_accumulation_steps=parts,
        max_steps=train.updates * grpo.steps_per_generation,
        shuffle_dataset=False,
        seed=cell.seed,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        bf16=False,
        gradient_checkpointing=False,
    )


def stock_prompts(renderer: Renderer, prompts: Sequence[PrefilledPrompt]) -> list[str]:
    """The rendered prompts as texts, which TRL tokenises to the very same ids."""
    texts = []
    for prompt in prompts:
        prefill = prompt.prefill.text if prompt.prefill else None
        ids = list(renderer.prompt(prompt.record.prompt, prefill).token_ids)
        texts.append(renderer.tokenizer.decode(ids))
        if renderer.tokenizer(texts[-1])["input_ids"] != ids:
            raise DataError(
                f"Expected the prompt {prompt.record.id} to survive as text, but TRL would read "
                "other tokens. Compare on a tokenizer that can be read back."
            )
    return texts


def training_tables(
    cell: CellInputs, updates: int, scratch: Path
) -> tuple[list[Table], list[Target]]:
    """The race, and where the time of our updates went."""
    race = run_race(cell, updates, scratch)
    size = cell.train.grpo.num_generations
    rates = {
        name: sum(tally.informative) * size / tally.seconds
        for name, tally in (("stock", race.stock), ("ours", race.ours))
    }
    rows = []
    for shown, name, tally in (
        ("trl.GRPOTrainer", "stock", race.stock),
        ("RecapTrainer", "ours", race.ours),
    ):
        rows.append(
            [
                shown,
                f"{tally.seconds / updates:.2f}",
                f"{tally.cpu_seconds / updates:.2f}",
                f"{sum(tally.drawn) / updates:.1f}",
                f"{sum(tally.informative) / updates:.1f}",
                f"{tally.wasted(slice(ENDS)):.0%}",
                f"{tally.wasted(slice(-ENDS, None)):.0%}",
                f"{tally.tokens / tally.seconds:.0f}",
                f"{rates[name]:.1f}",
                f"{rates[name] / rates['stock']:.2f}",
            ]
        )
    table = Table(
        f"Informative rollouts per second, {cell.train.prompts_per_update} prompts x {size}, "
        f"first {updates} updates, in turn",
        (
            "loop",
            "s/update",
            "CPU s/update",
            "groups drawn",
            "informative",
            f"wasted, first {ENDS}",
            f"wasted, last {ENDS}",
            "tokens/s",
            "informative rollouts/s",
            "ratio",
        ),
        rows,
    )
    split, other = split_table(race.lines)
    return [table, split], [
        Target(
            "informative rollouts/s against GRPOTrainer",
            rates["ours"] / rates["stock"],
            at_least=WANTED,
        ),
        other,
    ]


def split_table(lines: Sequence[Line]) -> tuple[Table, Target]:
    """Where the time of our updates went, all of them together."""
    total = sum(line["seconds"] for line in lines)
    shares = {}
    for part in (*PARTS, "other"):
        shares[part] = sum(line[f"seconds_{part}"] for line in lines) / total
    in_generation = weighted(lines, "gemm_share_generation", ("generation",))
    in_training = weighted(lines, "gemm_share_training", ("forward", "backward"))
    peaks = {"generation": in_generation, "forward": in_training, "backward": in_training}
    rows = [
        [
            part,
            f"{share * total / len(lines):.3f}",
            f"{share:.1%}",
            f"{peaks[part]:.1%}" if part in peaks else "",
        ]
        for part, share in shares.items()
    ]
    table = Table(
        "An update of RecapTrainer, mean of the same updates (forward and backward share one "
        "figure of the matrix peak)",
        ("part", "seconds", "share", "of the matrix peak"),
        rows,
    )
    return table, Target(
        "time outside the four parts", shares["other"], at_most=OTHER, percent=True
    )


def weighted(lines: Sequence[Line], name: str, parts: Sequence[str]) -> float:
    """A share of the peak over all updates: each counts by its seconds in ``parts``."""
    seconds = [sum(line[f"seconds_{part}"] for part in parts) for line in lines]
    done = sum(line.get(name, 0.0) * some for line, some in zip(lines, seconds, strict=True))
    return done / sum(seconds)
