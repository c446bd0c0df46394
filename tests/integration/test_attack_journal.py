"""The stage ``attack``, killed: it goes on with the block it was at and ends with the same bytes.

1. SIGKILL at random moments, as often as it takes: the output of an undisturbed run, byte for byte.
2. A torn last line is dropped, a folder that belongs to another run is emptied.
3. Two at once: the second is refused. When the stage is done, nothing is left.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from recap.attacks.journal import BLOCKS, MANIFEST, Journal, journal_of
from recap.errors import BusyError
from recap.microworld.grammar import World
from recap.microworld.records import make_records
from recap.params.whole import read_params
from recap.rows import write_rows
from recap.runtime.child import environment
from recap.stages import attack as stage_attack
from recap.types.attacks import Completion
from tests.completions import make_completion
from tests.forked import fork
from tests.integration.evaluation_project import thought
from tests.integration.flow_project import call
from tests.waiting import until

ROOT = Path(__file__).parents[2]
RUN = {"seed": "0", "policy": "abc"}


def _completion(number: int) -> Completion:
    return make_completion(
        "no .",
        prompt_id=f"p{number}",
        benchmark="harmful",
        cot="it is fine",
        num_cot_tokens=3,
        num_response_tokens=2,
    )


def test_finished_blocks_are_found_again(tmp_path: Path) -> None:
    first = Journal(tmp_path / "r", RUN)
    first.add("harmful/0", [_completion(0), _completion(1)])
    first.add("harmful/1", [_completion(2)])
    again = Journal(tmp_path / "r", RUN)
    assert again.find("harmful/0") == [_completion(0), _completion(1)]
    assert again.find("harmful/1") == [_completion(2)]
    assert again.find("harmful/2") is None and len(again) == 2


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_torn_line_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path / "r", RUN)
    journal.add("a/0", [_completion(0)])
    journal.add("a/1", [_completion(1)])
    file = tmp_path / "r" / BLOCKS
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    torn = Journal(tmp_path / "r", RUN)
    assert torn.find("a/1") is None and torn.find("a/0") == [_completion(0)]
    torn.add("a/1", [_completion(1)])
    assert file.read_bytes() == whole


def test_a_folder_of_another_run_is_emptied(tmp_path: Path) -> None:
    Journal(tmp_path / "r", RUN).add("a/0", [_completion(0)])
    other = Journal(tmp_path / "r", RUN | {"policy": "abd"})
    assert len(other) == 0 and not (tmp_path / "r" / BLOCKS).exists()
    (tmp_path / "r" / MANIFEST).unlink()
    assert len(Journal(tmp_path / "r", RUN)) == 0


def test_one_at_a_time_and_nothing_left(tmp_path: Path) -> None:
    with journal_of(tmp_path, "recap-0", RUN) as journal:
        journal.add("a/0", [_completion(0)])
        with (
            pytest.raises(BusyError, match="only one to attack recap-0"),
            journal_of(tmp_path, "recap-0", RUN),
        ):
            pass
        with journal_of(tmp_path, "recap-1", RUN):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recap-0.lock", "recap-1.lock"]
    with pytest.raises(ZeroDivisionError), journal_of(tmp_path, "recap-0", RUN) as journal:
        journal.add("a/0", [_completion(0)])
        raise ZeroDivisionError
    with journal_of(tmp_path, "recap-0", RUN) as journal:
        assert len(journal) == 1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters, a policy and a guardian of 30k parameters, prompts and thoughts."""
    from recap.microworld.pretraining import make_model
    from recap.microworld.tokenizer import make_tokenizer
    from recap.models.weights import save_model

    folder = tmp_path_factory.mktemp("project")
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["models"] |= {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "context": 512}
    values["attack"] |= {
        "benchmarks": ["ipr", "search"],
        "decoding": {"ipr": {"samples": 12}},
        "max_tokens": 60,
        "search_budgets": [1, 16],
        "ipr_rounds": 3,
        "prefill_words": 7,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    params = read_params(folder / "params.yaml")
    world = World(params.world, params.seed)
    records = make_records(world, "eval", 40)
    write_rows(folder / "eval.jsonl", records)
    write_rows(folder / "train.jsonl", make_records(world, "train", 4))
    thoughts = [
        thought(record, "harmful_eval")
        for record in records
        if record.source == "microworld-harmful"
    ]
    write_rows(folder / "prefills/harmful_eval.jsonl", thoughts)
    write_rows(folder / "pools/harmful_eval.jsonl", [t for t in thoughts for _ in range(15)])
    tokenizer = make_tokenizer(params.models.context)
    for number, name in enumerate(("policy", "guardian")):
        save_model(make_model(params.models, tokenizer, number), tokenizer, folder / name)
    return folder


FILES = {
    **{name: name for name in ("policy", "guardian", "prefills", "pools")},
    **{"prompts": "eval.jsonl", "train": "train.jsonl", "out": "out/cell-0.jsonl"},
}
STAGE = ["recap.stages.attack", *(f"--{name}={file}" for name, file in FILES.items())]


def _lines(scratch: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in scratch.glob("cell-0-*/blocks.jsonl"))


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    given = [Path(name) for name in ("policy", "guardian", "eval.jsonl", "train.jsonl")]
    stage_attack.main(*given, Path("prefills"), Path("pools"), Path("out/cell-0.jsonl"))
    out, scratch = project / "out/cell-0.jsonl", project / ".recap/attack"
    expected = out.read_bytes()
    assert [path.name for path in scratch.iterdir()] == ["cell-0.lock"]
    shutil.rmtree(project / "out")

    rng = random.Random(0)
    reached = [0]
    for kill in range(2):
        stage = fork(STAGE, project, environment())
        wanted = reached[-1] + rng.randint(1, 2)  # then at any moment of the next block
        until(lambda n=wanted: _lines(scratch) >= n, unless=lambda s=stage: s.poll() is not None)
        time.sleep(rng.random() * 0.2)
        stage.send_signal(signal.SIGKILL)
        _, said = stage.communicate()
        assert stage.returncode == -signal.SIGKILL
        assert ("continuing after" in said) == (kill > 0)
        reached.append(_lines(scratch))
        assert not out.exists()
    assert reached == sorted(reached) and reached[1] > 0
    # what a kill in the middle of a write leaves behind
    (journal,) = scratch.glob("cell-0-*/blocks.jsonl")
    with journal.open("ab") as stream:
        stream.write(json.dumps({"block": "ipr/0", "completions": []}).encode()[:20])

    last = call(project, "-m", *STAGE)
    assert last.returncode == 0, last.stderr
    assert f"continuing after {reached[-1]} finished blocks" in last.stderr
    assert out.read_bytes() == expected
    assert [path.name for path in scratch.iterdir()] == ["cell-0.lock"]
