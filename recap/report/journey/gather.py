"""Finds the rows to follow in a finished run, with all their data.

Follows a harmful, a benign and a math row through training, and three rows of the evaluation split
up to the gate's decision. It samples a new group of rollouts with the base policy. All other data
come from the run's files. Leaves out the optimizer step, which has no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recap.analysis.curves import read_metrics
from recap.benchmarks.declared import BENCHMARKS
from recap.data.load import LocatedRecord, parse
from recap.data.mixture import quotas
from recap.data.sources.rawrow import RawRow, Request
from recap.data.sources.registry import LOADERS
from recap.errors import DataError, ParameterError
from recap.models.weights import load_model
from recap.params.seeds import derive_seed
from recap.params.whole import Params
from recap.prefill.inject import Injection
from recap.render import Renderer
from recap.report.journey.rows import DOMAINS, Evaluated, Story, Trained
from recap.rewards.router import Rewards
from recap.rl.dynamic_sampling import filter_group
from recap.rl.prefill_source import training_prefills, training_records
from recap.rl.prompt_stream import PromptStream
from recap.rows import read_json, read_rows
from recap.sampling.torch_sampler import TorchSampler
from recap.scoring.guardian import load_guardian
from recap.types.attacks import Completion
from recap.types.decisions import GateDecision
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord
from recap.types.results import CellResult
from recap.types.rollouts import Decoding, Rollout, RolloutGroup
from recap.types.row import Domain
from recap.types.verdicts import Outcome, Verdict

GROUP_SIZE = 4
"""Rollouts to show; training samples ``train.grpo.num_generations``."""
CANDIDATES = 24
"""The most prompts of a domain to sample until a group is informative."""
FOLLOWED = ("prefill", "benign_prefill", "math")
"""The benchmark of each evaluated row."""


@dataclass(frozen=True, slots=True)
class Files:
    """The run's folders."""

    models: Path
    data: Path
    results: Path

    def prompts(self, split: str) -> list[PromptRecord]:
        """The prepared rows of a split."""
        return read_rows(self.data / f"prompts/{split}.jsonl", PromptRecord)

    def prefills(self, source: str) -> dict[str, Prefill]:
        """A source's thoughts by prompt."""
        rows = read_rows(self.data / f"prefills/{source}.jsonl", Prefill)
        return {row.prompt_id: row for row in rows}


def trained_rows(params: Params, files: Files) -> list[Trained]:
    """For each domain the first prompt, in the order of the file, with an informative group."""
    train = params.for_variant(params.gate.candidate)
    if train.method != "rl":
        raise ParameterError(
            "Expected a candidate that was trained on rollouts, got "
            f"'{params.gate.candidate}' (train.method {train.method}). Choose another one in gate."
        )
    records = training_records(train.subset, files.prompts("train"))
    given = training_prefills(train.prefill_source, files.data / "prefills", records)
    renderer = Renderer.from_dir(files.models / "policy", params.models.reasoning)
    epoch_seed = derive_seed(params.seed, "train", params.gate.seed)  # equals the cell's
    stream = PromptStream(
        records, given, injection=Injection.of(train), renderer=renderer, seed=epoch_seed
    )
    first_epoch = {prompt.record.id: prompt for prompt in stream.take(len(records))}
    prompts = [first_epoch[record.id] for record in records]
    sampler = TorchSampler(
        load_model(files.models / "policy"), renderer.turn.stop_ids, renderer.pad_id, batch_size=96
    )
    rewards = Rewards.of(train, load_guardian(files.models / "guardian"))
    decoding = Decoding(train.grpo.temperature, 1.0, train.grpo.max_completion_length)

    def roll(chosen: Sequence[PrefilledPrompt], domain: Domain) -> list[RolloutGroup]:
        contexts = [
            renderer.prompt(p.record.prompt, p.prefill.text if p.prefill else None) for p in chosen
        ]
        seed = derive_seed(params.seed, "journey", domain)
        drawn = sampler.sample(contexts, decoding, num_samples=GROUP_SIZE, seed=seed)
        groups = []
        for prompt, context, samples in zip(chosen, contexts, drawn, strict=True):
            rollouts = tuple(
                Rollout(prompt, context, sample, *renderer.split(sample.token_ids)[:2])
                for sample in samples
            )
            groups.append(
                RolloutGroup(prompt, rollouts, tuple(rewards.score(rollouts)), policy_version=1)
            )
        return groups

    found = []
    for domain in DOMAINS:
        chosen = [
            p
            for p in prompts
            if p.record.domain == domain and (p.prefill is not None) == (domain != "math")
        ][:CANDIDATES]
        if not chosen:
            raise DataError(
                f"Expected {domain} training prompts to follow, got none. Run this on a run whose "
                f"gate.candidate ('{params.gate.candidate}') has train.subset all, alpha above 0 "
                "and prefill_source counter or aligned."
            )
        groups = roll(chosen, domain)
        fates = [
            filter_group(group.rewards, tau=train.tau, epsilon=train.reward_epsilon)
            for group in groups
        ]
        place = fates.index("kept") if "kept" in fates else 0
        group = groups[place]
        found.append(Trained(group, given.get(group.prompt.record.id), fates[place]))
    return found


def evaluated_rows(params: Params, files: Files) -> list[Evaluated]:
    """For each domain the first row on which the candidate succeeds and the baseline does not.

    Without such a row, the first row of the benchmark.
    """
    cells = {
        variant: _by_row(files, f"{variant}-{params.gate.seed}")
        for variant in (params.gate.baseline, params.gate.candidate)
    }
    baseline, candidate = (cells[v] for v in (params.gate.baseline, params.gate.candidate))
    records = {record.id: record for record in files.prompts("eval")}
    renderer = Renderer.from_dir(files.models / "policy", params.models.reasoning)
    found = []
    for benchmark in FOLLOWED:
        source = BENCHMARKS[benchmark].prefill_source
        ids = [prompt_id for name, prompt_id in candidate if name == benchmark]
        if not ids:
            raise DataError(
                f"Expected the benchmark '{benchmark}' among the completions, found none. "
                "Add it to attack.benchmarks."
            )
        contrast = [
            prompt_id
            for prompt_id in ids
            if candidate[benchmark, prompt_id][2].success
            and baseline[benchmark, prompt_id][2].success is False
        ]
        prompt_id = (contrast or ids)[0]
        record = records[prompt_id]
        completion = candidate[benchmark, prompt_id][0]
        found.append(
            Evaluated(
                record,
                files.prefills(source)[prompt_id] if source else None,
                completion.prefill,
                renderer.prompt(record.prompt, completion.prefill),
                {variant: rows[benchmark, prompt_id] for variant, rows in cells.items()},
            )
        )
    return found


def _by_row(files: Files, cell: str) -> dict[tuple[str, str], tuple[Completion, Verdict, Outcome]]:
    """First round, first sample of every completion with its verdict and outcome."""
    completions = read_rows(files.data / f"completions/{cell}.jsonl", Completion)
    verdicts = read_rows(files.data / f"verdicts/{cell}.jsonl", Verdict)
    outcomes = read_rows(files.results / f"outcomes/{cell}.jsonl", Outcome)
    return {
        (row.benchmark, row.prompt_id): (row, verdict, outcome)
        for row, verdict, outcome in zip(completions, verdicts, outcomes, strict=True)
        if row.place == 1 and row.sample == 0
    }


def raw_rows(params: Params, wanted: Sequence[PromptRecord]) -> dict[str, RawRow]:
    """The raw row of each record, as its loader read it."""
    ids = {record.id for record in wanted}
    section = params.prepare
    rows = max(quotas(section.mixture, section.train_prompts).values())
    found: dict[str, RawRow] = {}
    for name, directory in section.sources.items():
        request = Request(directory, params.world, params.seed, rows, section.eval_prompts)
        for row in LOADERS[name].rows(request):
            parsed = parse(LOADERS[name], row, section.max_words)
            if isinstance(parsed, LocatedRecord) and parsed.record.id in ids:
                found[parsed.record.id] = row
    return found


def story(params: Params, files: Files) -> Story:
    """All the data of the page."""
    trained, evaluated = trained_rows(params, files), evaluated_rows(params, files)
    records = [t.group.prompt.record for t in trained] + [e.record for e in evaluated]
    gate = params.gate
    results: Mapping[str, CellResult] = {
        variant: read_json(files.results / f"rates/{variant}-{gate.seed}.json", CellResult)
        for variant in (gate.baseline, gate.candidate)
    }
    return Story(
        candidate=gate.candidate,
        baseline=gate.baseline,
        raw=raw_rows(params, records),
        trained=trained,
        evaluated=evaluated,
        train=params.for_variant(gate.candidate),
        metrics=read_metrics(files.results / f"train/{gate.candidate}-{gate.seed}.jsonl"),
        results=results,
        decision=read_json(files.results / "decision.json", GateDecision),
        renderer=Renderer.from_dir(files.models / "policy", params.models.reasoning),
    )
