"""Each stage of dvc.yaml ahead of a run: command, state, engine, files with their sizes.

The order and the state come from DVC. Leaves out files of code, on which stages depend as well.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.params.document import read_document
from recap.params.sampling import Servers
from recap.params.train import Train
from recap.params.whole import Params
from recap.pipeline.graph import Pipeline
from recap.sampling.given_servers import ADDRESSES
from recap.sweeps.fingerprint import lookup
from recap.types.origins import RULES, SERVED_GUARDIAN

CODE = ("recap/", "origins/")
"""Where the dependencies begin that are no files of the pipeline."""
NO_MODEL = "no model"


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder of the pipeline, ``models/<model>`` for each member; bytes that are there.

    ``size`` is ``None`` where none of the members is there.
    """

    path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class StageAhead:
    """One stage with all its members; ``command`` without its files.

    ``reasons``: of each member that will or may run, in order.
    """

    name: str
    members: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]]
    command: str
    work: str
    reads: tuple[File, ...]
    writes: tuple[File, ...]

    @property
    def state(self) -> str:
        """How many members run, and why the first of them does."""
        if not self.reasons:
            return "up to date"
        if all(why == ("never ran",) for why in self.reasons.values()):
            return _number(self.members, len(self.reasons), "first run")
        why = "; ".join(next(why for why in self.reasons.values() if why != ("never ran",)))
        return f"{_number(self.members, len(self.reasons), 'stale')}: {why}"


def stages_ahead(root: Path, params: Params, pipeline: Pipeline) -> list[StageAhead]:
    """Every stage in the order in which it can run first."""
    specs = read_document(root / "dvc.yaml")["stages"]
    values = read_document(root / "params.yaml")
    stale = pipeline.stale()
    found: dict[str, list[str]] = {}
    for node in pipeline.nodes:
        found.setdefault(node.name.partition("@")[0], []).append(node.name)
    return [
        _stage(root, name, specs[name], values, tuple(members), stale, params)
        for name, members in found.items()
    ]


def _stage(
    root: Path,
    name: str,
    spec: Mapping[str, Any],
    values: Mapping[str, Any],
    members: tuple[str, ...],
    stale: Mapping[str, tuple[str, ...]],
    params: Params,
) -> StageAhead:
    axes = {
        axis: [
            str(each)
            for each in (named if isinstance(named, list) else lookup(values, named[2:-1]))
        ]
        for axis, named in spec.get("matrix", {}).items()
    }
    return StageAhead(
        name=name,
        members=members,
        reasons={member: stale[member] for member in members if member in stale},
        command=_command(spec["cmd"], axes),
        work=work_of(name, params),
        reads=tuple(_files(root, spec.get("deps", []), axes)),
        writes=tuple(_files(root, spec["outs"], axes)),
    )


def _command(template: str, axes: Mapping[str, list[str]]) -> str:
    """``python -m recap.stages.train --variant base|recap --seed 0``; what has a / is a file."""
    text = re.sub(r"\$\{item\.(\w+)\}", lambda found: "|".join(axes[found[1]]), template)
    words: list[str] = []
    for word in shlex.split(text):
        if "/" not in word:
            words.append(word)
        elif words[-1].startswith("--"):
            words.pop()
    return " ".join(words)


def _files(root: Path, paths: list[Any], axes: Mapping[str, list[str]]) -> Iterator[File]:
    for entry in paths:
        path = next(iter(entry)) if isinstance(entry, dict) else str(entry)
        if path.startswith(CODE):
            continue
        sizes = [size for each in _members(path, axes) if (size := size_of(root / each))]
        shown = re.sub(r"\$\{item\.(\w+)\}", r"<\1>", path)
        yield File(shown, sum(sizes) if sizes else None)


def _members(path: str, axes: Mapping[str, list[str]]) -> list[str]:
    found = [path]
    for axis, values in axes.items():
        mark = f"${{item.{axis}}}"
        found = [
            each.replace(mark, value) for each in found for value in values if mark in each
        ] or found
    return found


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 where there is none."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _number(members: tuple[str, ...], count: int, what: str) -> str:
    whole = len(members)
    return (
        what if whole == 1 else f"{what} of {'all ' if count == whole else f'{count} of '}{whole}"
    )


def work_of(stage: str, params: Params) -> str:
    """Which models or servers do the work of a stage, and on what."""
    if stage == "models":
        return _taken(params, "models", params.models.warm_start is not None)
    if stage == "sources":
        return _taken(params, "sources", bool(params.sources.traces))
    if stage == "prefill":
        return f"{_engine(params)}, then {_guardian(params)}"
    if stage == "train":
        trained = (params.for_variant(name) for name in params.matrix.variants)
        kinds = dict.fromkeys(_training(train) for train in trained if train.updates)
        return f"{'; '.join(kinds) or 'copies the base policy'}; {_guardian(params)}"
    if stage in ("attack", "dynamics"):
        search = params.attack.selector is not None
        judged = f"; {_judges(params)}" if stage == "dynamics" else ""
        return f"{_engine(params)}{f'; {_guardian(params)}' if search else ''}{judged}"
    return _judges(params) if stage == "judge" else f"{NO_MODEL}, on the CPU"


def _taken(params: Params, section: str, taught: bool) -> str:
    named = params.matrix.models if section == "models" else params.matrix.sources
    origins = params.models.origins if section == "models" else params.sources.origins
    made = [str(name) for name in named if name not in origins]
    said = ["takes the origins below"] if origins else []
    said += ["teaches the policy to think, on one GPU or else the CPU"] if taught else []
    return "; ".join([*said, *([f"trains {', '.join(made)} on the CPU"] if made else [])])


def _engine(params: Params) -> str:
    if params.sampling.engine == "vllm":
        return "vLLM in the stage's process, one GPU"
    if params.sampling.engine == "server":
        servers = params.sampling.servers
        return f"{_servers(servers)}{'' if servers.elsewhere else ', the last GPUs'}"
    return "torch, one GPU or else the CPU"


def _servers(servers: Servers) -> str:
    spread = (
        f" of {servers.tensor_parallel} GPUs" if servers.tensor_parallel > 1 else ", a GPU each"
    )
    count = f"{servers.count} vLLM server{'s' if servers.count > 1 else ''}"
    if servers.elsewhere:
        return f"{count} at {os.environ.get(ADDRESSES) or f'{ADDRESSES}, which is not set'}"
    return f"{count} on free ports of 127.0.0.1{spread}"


def _guardian(params: Params) -> str:
    if params.models.origins.get("guardian") == RULES:
        return "rules as guardian"
    rubric = " and rubric" if "rubric" in params.models.origins else ""
    if address := os.environ.get(SERVED_GUARDIAN):
        return f"guardian at {address}{rubric and ', rubric by transformers, the first device'}"
    return f"guardian{rubric} by transformers, the first device"


def _judges(params: Params) -> str:
    api = params.judge.api
    said = {"api": f"{api.model} at {api.base_url}", "guardian": _guardian(params)}
    names = [name for name in (params.judge.judge, params.judge.second) if name]
    return "judges: " + " and ".join(said.get(name, name) for name in names)


def _training(train: Train) -> str:
    launch = train.launch
    where = f"{launch.processes} process{'es' if launch.processes > 1 else ''}"
    where += f" on each of {launch.nodes} nodes" if launch.nodes > 1 else ""
    where += f", {launch.shard}" if launch.shard != "none" else ""
    size = f"{train.updates} updates"
    if train.method == "rl":
        engine = _servers(train.servers) if train.engine == "server" else train.engine
        size += f" of {train.prompts_per_update} x {train.grpo.num_generations}, {engine}"
    lora = f", LoRA {train.adapter.rank}" if train.adapter else ""
    return f"{train.method}, {size}{lora}, {where}, a GPU each or else the CPU"
