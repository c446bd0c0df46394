"""From loaded rows to chosen prompts: quarantine, duplicates, decontamination, mixture."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.data.decontaminate import contaminated, near_duplicates
from recap.data.load import Loaded, LocatedRecord, check_quarantined, load
from recap.data.mixture import (
    choose_eval,
    choose_training,
    duplicates,
    largest_total,
    quotas,
)
from recap.data.selection import select
from recap.data.sources.microworld import LOADER as MICROWORLD
from recap.data.sources.rawrow import Loader, RawRow, Request
from recap.data.sources.registry import LOADERS
from recap.errors import DataError
from recap.params.prepare import Mixture
from recap.params.whole import read_params
from recap.stages import prepare
from recap.types.prompts import PromptRecord, QuarantinedRow, Split
from recap.types.row import Domain
from tests.parameters import write_params

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def prompt(
    name: str,
    text: str,
    domain: Domain = "harmful",
    split: Split = "train",
    source: str = "some",
    target: str | None = None,
) -> PromptRecord:
    return PromptRecord(
        id=name, domain=domain, prompt=text, target=target, source=source, split=split
    )


def request(directory: Path | None = None) -> Request:
    return Request(directory, PARAMS.world, seed=3, train_rows=40, eval_rows=20)


def loader_of(rows: Sequence[object], *, eval_only: bool = False, split: Split = "train") -> Loader:
    def read(_: Request) -> Iterator[RawRow]:
        for line, values in enumerate(rows, start=1):
            yield RawRow("f", line, split, values)

    return Loader("some", eval_only, read, MICROWORLD.record)


# -- loading --------------------------------------------------------------------------------------


def test_the_second_row_of_an_id_is_quarantined() -> None:
    rows = [prompt("a", "x").model_dump(), prompt("a", "y").model_dump()]
    loaded = load(loader_of(rows), request(), 10)
    assert [located.record.prompt for located in loaded.records] == ["x"]
    assert loaded.quarantined == (QuarantinedRow(file="f", line=2, id="a", reason="duplicate id"),)
    assert loaded.num_rows == 2


def test_an_evaluation_only_source_can_never_train() -> None:
    rows = [prompt("a", "x", split="train").model_dump()]
    with pytest.raises(DataError, match=r"Expected only evaluation rows from some, .*f:1"):
        load(loader_of(rows, eval_only=True), request(), 10)


def test_an_empty_or_missing_data_set_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "strongreject.jsonl").write_text("\n")
    with pytest.raises(DataError, match="strongreject, got an empty data set"):
        load(LOADERS["strongreject"], request(tmp_path), 10)
    with pytest.raises(DataError, match=r"Expected test\.jsonl in .* math500, found none"):
        load(LOADERS["math500"], request(tmp_path), 10)
    with pytest.raises(DataError, match="Expected a directory with the data of gsm8k"):
        load(LOADERS["gsm8k"], request(tmp_path / "absent"), 10)


def test_too_many_bad_rows_are_counted_by_reason() -> None:
    def bad(reason: str, count: int) -> list[QuarantinedRow]:
        return [QuarantinedRow(file="f", line=1, id=None, reason=reason)] * count

    fine = Loaded("large", (), tuple(bad("prompt: empty", 10)), 1000)
    check_quarantined([fine], 0.01, Path("q.jsonl"))
    poor = Loaded("small", (), tuple(bad("prompt: empty", 1) + bad("prompt: think tag", 2)), 100)
    with pytest.raises(DataError) as caught:
        check_quarantined([fine, poor], 0.01, Path("q.jsonl"))
    assert str(caught.value) == (
        "Expected at most 1.00% bad rows in small (prepare.max_quarantined), got 3 of 100 (3.00%): "
        "prompt: think tag 2, prompt: empty 1. They are listed in q.jsonl; mend the source or "
        "raise the limit."
    )


# -- duplicates and decontamination ---------------------------------------------------------------


def test_repeated_prompts_stay_once_and_contradictory_ones_not_at_all() -> None:
    records = [
        prompt("a", "Open it."),
        prompt("b", "open it"),
        prompt("c", "what is 2 plus 2 ?", "math", target="4"),
        prompt("d", "What is 2 plus 2?", "math", target="5"),
        prompt("e", "open it", split="eval", source="one"),
        prompt("f", "open it", split="eval", source="two"),
        prompt("g", "open it !", split="eval", source="two"),
    ]
    assert duplicates(records) == {
        "b": "duplicate of a",
        "c": "contradicts d",
        "d": "contradicts c",
        "g": "duplicate of f",
    }


LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


@pytest.mark.parametrize(
    ("train", "evaluation", "found"),
    [
        ("How do I open it?", "how do i open it ?", True),
        ("how do i open it", "how do i open it now", False),
        (f"zero {LONG} fourteen", f"{LONG.title()}!", True),
        (f"{LONG}, fourteen", f"before {LONG}", True),
        (f"{LONG} fourteen".replace("seven", "7"), f"before {LONG}", False),
        (LONG.rsplit(" ", 1)[0] + " x", LONG.rsplit(" ", 1)[0] + " y", False),
    ],
)
def test_contamination_is_whole_text_or_thirteen_words(
    train: str, evaluation: str, found: bool
) -> None:
    result = contaminated([prompt("t", train)], [prompt("e", evaluation, split="eval")])
    assert (result == {"t": prompt("e", evaluation, split="eval")}) is found


@pytest.mark.parametrize(
    ("train", "near"),
    [
        # Eight words are six runs of three. The held-out prompt: b c d e f g h i.
        ("b c d e f g h i", True),
        ("B, c d e f g h j!", True),  # the last word: 5 of 7
        ("b c d e f g j i", True),  # the last but one: 4 of 8
        ("b c d e j g h i", False),  # the middle: 3 of 9
        ("a b c d e f g h i j", True),  # 6 of 8
        ("c d e f g h i", False),  # under eight words: compared whole alone
        ("i h g f e d c b", False),
    ],
)
def test_near_duplicates_share_half_of_their_runs_of_three_words(train: str, near: bool) -> None:
    texts = {"far": "nothing of this at all is in it", "e": "b c d e f g h i"}
    held_out = [prompt(name, text, split="eval") for name, text in texts.items()]
    assert (near_duplicates([prompt("t", train)], held_out) == {"t": held_out[1]}) is near


def test_the_nearest_is_named_and_templated_sources_are_left_alone() -> None:
    train = prompt("t", "b c d e f g h i")
    held_out = [
        prompt("worse", "b c d e f g h j k", split="eval", source="some-set"),
        prompt("best", "b c d e f g h j", split="eval", source="other-set"),
    ]
    located = tuple(
        LocatedRecord(record, "f", line) for line, record in enumerate([train, *held_out], start=1)
    )
    selection = select([Loaded("star1", located, (), 3)])
    assert selection.train == ()
    assert [(row.id, row.reason) for row in selection.set_aside] == [
        ("t", "near duplicate of other-set: best")
    ]
    assert selection.summary().endswith("in evaluation too: none; nearly: other-set 1")
    assert select([Loaded("microworld", located, (), 3)]).train == (train,)


def test_what_is_set_aside_is_listed_and_counted() -> None:
    bad = QuarantinedRow(file="f", line=9, id=None, reason="malformed JSON")
    records = [
        prompt("a", "open it"),
        prompt("b", "open it"),
        prompt("c", "close it"),
        prompt("e", "close it", split="eval", source="held-out"),
    ]
    located = tuple(LocatedRecord(r, "f", line) for line, r in enumerate(records, start=1))
    selection = select([Loaded("star1", located, (bad,), 5)])
    assert [record.id for record in selection.train] == ["a"]
    assert [record.id for record in selection.eval] == ["e"]
    assert [(row.line, row.id, row.reason) for row in selection.set_aside] == [
        (9, None, "malformed JSON"),
        (2, "b", "duplicate of a"),
        (3, "c", "contaminated by held-out: e"),
    ]
    assert selection.summary() == (
        "star1: 5 rows -> 1 train, 1 eval; bad: malformed JSON 1; duplicates: 1; "
        "in evaluation too: held-out 1; nearly: none"
    )


def test_the_microworld_loses_no_row() -> None:
    loaded = load(MICROWORLD, request(), 50)
    selection = select([loaded])
    assert (len(selection.train), len(selection.eval)) == (4 * 40, 4 * 20)
    assert selection.set_aside == ()
    assert loaded == load(MICROWORLD, request(), 50)


# -- mixture --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "total", "counts"),
    [
        ((1, 1, 3), 5000, (1000, 1000, 3000)),
        ((1, 1, 3), 7, (2, 1, 4)),  # 1.4, 1.4, 4.2: the remainder goes to the earlier of two
        ((1, 0, 3), 10, (3, 0, 7)),  # 2.5, 0, 7.5: equal remainders
        ((2, 2, 3), 5, (2, 1, 2)),  # 1.43, 1.43, 2.14
        ((0, 0, 1), 1, (0, 0, 1)),
    ],
)
def test_quotas_by_largest_remainder(
    parts: tuple[int, int, int], total: int, counts: tuple[int, int, int]
) -> None:
    mixture = Mixture(harmful=parts[0], benign=parts[1], math=parts[2])
    assert tuple(quotas(mixture, total).values()) == counts


@given(st.tuples(*[st.integers(0, 9)] * 3).filter(any), st.integers(0, 500))
def test_quotas_add_up_and_stay_within_one_of_the_share(
    parts: tuple[int, int, int], total: int
) -> None:
    counts = quotas(Mixture(harmful=parts[0], benign=parts[1], math=parts[2]), total)
    assert sum(counts.values()) == total
    for part, count in zip(parts, counts.values(), strict=True):
        assert abs(count - total * part / sum(parts)) < 1


@pytest.mark.parametrize(
    ("available", "wanted", "total"),
    [
        ((1000, 1000, 3000), 5000, 5000),
        ((1000, 1000, 3000), 400, 400),
        ((1000, 200, 9000), 5000, 1003),  # 1003: 201, 200, 602; 1004 would ask for 201 benign
        ((1, 1, 1), 5000, 2),  # 2 gives 1, 0, 1; 3 would ask for two sums
    ],
)
def test_the_mixture_shrinks_to_what_is_there(
    available: tuple[int, int, int], wanted: int, total: int
) -> None:
    counts: dict[Domain, int] = dict(zip(("harmful", "benign", "math"), available, strict=True))
    assert largest_total(Mixture(harmful=1, benign=1, math=3), counts, wanted) == total


def test_a_domain_of_the_mixture_without_rows_is_an_error() -> None:
    with pytest.raises(DataError, match=r"Expected benign training prompts .*mixture\.benign is 1"):
        choose_training([prompt("a", "x")], Mixture(harmful=1, benign=1, math=0), 10, 0)
    with pytest.raises(DataError, match="Expected evaluation prompts, got none"):
        choose_eval([], 10, 0)


def test_draws_depend_on_the_seed_and_are_nested() -> None:
    records = [prompt(f"h{n}", f"{n}") for n in range(50)]
    records += [prompt(f"m{n}", f"sum {n}", "math", target="1") for n in range(150)]
    mixture = Mixture(harmful=1, benign=0, math=3)

    def drawn(wanted: int, seed: int) -> list[str]:
        return [record.id for record in choose_training(records, mixture, wanted, seed)]

    assert drawn(40, 0) == drawn(40, 0)
    assert set(drawn(40, 0)) != set(drawn(40, 1))
    assert set(drawn(40, 0)) < set(drawn(80, 0))
    assert sum(name.startswith("m") for name in drawn(40, 0)) == 30
    assert drawn(40, 0) != sorted(drawn(40, 0), key=lambda name: name[0]), "domains are mixed"

    evaluation = [prompt(f"e{n}", f"{n}", split="eval", source=f"s{n % 2}") for n in range(20)]
    chosen = choose_eval(evaluation, 4, 0)
    assert [record.source for record in chosen] == ["s0"] * 4 + ["s1"] * 4


OUTS = tuple(map(Path, ("train.jsonl", "eval.jsonl", "quarantine.jsonl", "sources.jsonl")))


def test_without_evaluation_prompts_no_training_prompts_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": n, "question": f"a request of number {n} ?", "source": "x"} for n in range(9)]
    (tmp_path / "STAR-1.json").write_text(json.dumps(rows))
    mixture = {"harmful": 1, "benign": 0, "math": 0}
    write_params(
        tmp_path, {"prepare.sources": {"star1": str(tmp_path)}, "prepare.mixture": mixture}
    )
    monkeypatch.chdir(tmp_path)
    Path("train.jsonl").write_text("as before")
    with pytest.raises(DataError, match="evaluation"):
        prepare.main(*OUTS)
    assert Path("train.jsonl").read_text() == "as before"
    assert not Path("eval.jsonl").exists()


@pytest.mark.slow
def test_prepare_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'great_expectations', 'pandas', 'numpy', 'mlflow'}"
    code = f"import sys, recap.stages.prepare; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
