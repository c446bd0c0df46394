"""A version as a folder and a card, its history and a promotion tried: by `recap` as a user types.

Locks: 1. the folder is a whole Hugging Face model with the registered bytes, the card beside it;
2. a version is named by number, alias or address, also in `lineage`; 3. a damaged or lost file, a
reference without weights, an unknown name and a folder that exists are one message each and leave
nothing; 4. the card says what was measured and not more, and escapes what it quotes; 5. history and
dry run change nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from recap.cli import publish as publishing
from recap.cli.main import app
from recap.errors import DataError, GateError, ModelError
from recap.pipeline.cache import object_path
from recap.pipeline.lock import file_md5
from recap.rows import read_json
from recap.tracking.card import model_card
from recap.tracking.files import check_files
from recap.tracking.lineage import trace
from recap.tracking.manifest import Manifest, ManifestFile, Provenance, Rate
from recap.tracking.moves import would_promote
from recap.tracking.pull import CARD, pull, registered
from tests.integration.champion import MODEL, WEIGHTS
from tests.integration.registry_project import CACHE, NAME, register


def typed(*arguments: str) -> str:
    """What `recap ARGUMENTS…` prints."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_the_folder_is_the_registered_model_with_its_card(clone: Path) -> None:
    own = {path.name: path.read_bytes() for path in (clone / MODEL).iterdir()}
    ids = torch.tensor([[4, 5, 6, 7]])
    expected = AutoModelForCausalLM.from_pretrained(clone / MODEL)(ids).logits
    shutil.rmtree(clone / MODEL)
    size = sum(map(len, own.values())) / 1e6
    said = typed("pull", "champion", "served/model")
    assert said == (
        f"version 1: {size:,.1f} MB in served/model\n"
        "`python -m vllm.entrypoints.openai.api_server --model served/model` serves it\n"
    )
    out = clone / "served/model"
    pulled = {path.name: path.read_bytes() for path in out.iterdir()}
    card = pulled.pop(CARD).decode()
    assert pulled == own
    assert torch.equal(AutoModelForCausalLM.from_pretrained(out)(ids).logits, expected)
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert card == typed("card", "champion")
    assert [path.name for path in out.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "target", ["1", "champion", f"{NAME}@champion", f"models:/{NAME}@champion", f"models:/{NAME}/1"]
)
def test_a_version_has_many_names(clone: Path, target: str) -> None:
    assert trace(clone, target)["model"]["version"] == "1"


def harm_cache(clone: Path) -> None:
    path = object_path(clone / CACHE, file_md5(clone / WEIGHTS))
    path.chmod(0o644)
    path.write_bytes(b"other")


def lose_cache(clone: Path) -> None:
    object_path(clone / CACHE, file_md5(clone / WEIGHTS)).unlink()


@pytest.mark.parametrize(
    ("harm", "target", "kind", "said"),
    [
        (harm_cache, "champion", ModelError, "got other content. Delete that file"),
        (lose_cache, "champion", ModelError, "or on its default remote, found it in neither"),
        (None, "best", GateError, "There are versions 1; aliases champion (1)."),
        (None, "2", GateError, "got '2'. There are versions 1"),
        (None, "recap-0", GateError, "got 'recap-0'. There are versions 1"),
        (lambda c: (c / "out").mkdir(), "champion", DataError, "Name another one"),
        (lambda c: (c / "mlflow.db").unlink(), "champion", GateError, "found no such store"),
    ],
    ids=["damaged", "lost", "alias", "number", "cell", "folder", "store"],
)
def test_what_cannot_be_pulled_is_one_message(clone: Path, harm, target, kind, said) -> None:
    if harm:
        harm(clone)
    before = sorted(path for path in clone.rglob("*") if "mlflow" not in str(path))
    with pytest.raises(kind) as refused:
        pull(clone, registered(clone, target), clone / "out")
    assert said in str(refused.value)
    assert sorted(path for path in clone.rglob("*") if "mlflow" not in str(path)) == before


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("model.safetensors", True),
        ("adapter/adapter_model.safetensors", True),
        ("adapter/adapter_config.json", True),
        ("README.md", True),
        ("pytorch_model.bin", False),
        ("modeling_own.py", False),
        ("../model.safetensors", False),
        ("adapter/../../x.json", False),
        ("other/model.safetensors", False),
    ],
)
def test_only_plain_files_of_the_folder_and_its_adapter(
    champion: Path, path: str, fits: bool
) -> None:
    manifest = read_json(champion / "results/registered.json", Manifest)
    file = ManifestFile(path=path, size=1, md5="0" * 32)
    changed = manifest.model_copy(update={"files": (file,)})
    if fits:
        check_files(changed)
    else:
        with pytest.raises(ModelError, match="Expected safetensors weights with"):
            check_files(changed)


def test_a_card_says_what_was_measured(champion: Path) -> None:
    manifest = read_json(champion / "results/registered.json", Manifest)
    rates = {
        "prefill/1": Rate(value=0.962, low=0.936, high=0.978, n=320, n_unscored=2),
        "ipr/3": Rate(value=None, low=None, high=None, n=0, n_unscored=320),
        "transfer/1": Rate(value=0.5, low=0.4, high=0.6, n=100, n_unscored=0),
        "gone|away/1": Rate(value=1.0, low=0.99, high=1.0, n=320, n_unscored=0),
    }
    manifest = manifest.model_copy(update={"rates": rates})
    provenance = Provenance(
        params={
            "seed": "3",
            "train.alpha": "0.5",
            "models.origins.policy": "org/base-8B@" + "a" * 40,
            "prepare.sources.beavertails": "PKU/BeaverTails@" + "b" * 40,
            "prepare.sources.gsm8k": "/data/gsm8k",
            "judge.judge": "refusal",
        }
    )
    tags = {
        "licence.data.beavertails": "CC BY-NC 4.0",
        "licence.data.gsm8k": "MIT",
        "licence.model.policy": "none stated",
        "git_commit": "c0ffee",
    }
    card = model_card(manifest, provenance, tags)
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "other",
        "license_name": "of-its-parts",
        "tags": ["recap", "reasoning", "safety", "arxiv:2510.00938"],
        "base_model": "org/base-8B",
        "datasets": ["PKU/BeaverTails"],
    }
    body = body.replace("\N{NO-BREAK SPACE}", " ")
    assert "| Prefill attack | safe | 96.2 % | 93.6 % to 97.8 % | 320 | 2 |" in body
    assert "| Prefill reset, round 3 | safe | no score | no score | 0 | 320 |" in body
    exempt = "| Prefill by source, source 1, with thoughts that training may have seen | safe |"
    assert exempt in body
    assert "| gone\\|away/1 | not recorded | 100.0 % | 99.0 % to 100.0 % | 320 | 0 |" in body
    assert "| data set | beavertails | CC BY-NC 4.0 |" in body
    assert "| model | policy | none stated |" in body
    assert "A part of it allows non-commercial use alone." in body
    assert "| `train.alpha` | 0.5 |" in body and "| `train.updates` | not recorded |" in body
    assert "| code | c0ffee |" in body and "| dvc.lock | not recorded |" in body
    assert "It passed its gate against dapo-0." in body
    assert "trained by the pipeline of RECAP" in body  # no counter-aligned prefills are recorded
    assert "Verdicts are those of the judge refusal." in body


@pytest.mark.parametrize(
    ("params", "countered"),
    [
        ({"train.prefill_source": "counter", "train.alpha": "0.5"}, True),
        ({"train.prefill_source": "counter", "train.alpha.harmful": "0.5"}, True),
        ({"train.prefill_source": "counter", "train.alpha": "0.0"}, False),
        ({"train.prefill_source": "aligned", "train.alpha": "0.5"}, False),
        ({"train.alpha": "0.5"}, False),
    ],
)
def test_a_card_says_recap_of_recap_alone(champion: Path, params, countered: bool) -> None:
    manifest = read_json(champion / "results/registered.json", Manifest)
    card = model_card(manifest, Provenance(params=params), {})
    assert ("trained with counter-aligned prefills" in card) is countered


def test_a_card_quotes_nothing_as_markup(champion: Path) -> None:
    manifest = read_json(champion / "results/registered.json", Manifest)
    hostile = "<script>x</script> | `a` [b](c)\n# d"
    card = model_card(
        manifest,
        Provenance(params={"models.origins.policy": hostile, "seed": hostile}),
        {"licence.data.x": hostile, "git_commit": hostile},
    )
    quoted = r"&lt;script>x&lt;/script> \| \`a\` \[b\](c) # d"
    assert card.count(quoted) == 4
    assert "<script" not in card and "\n# d" not in card


def test_a_card_of_a_version_without_records_claims_no_licence(champion: Path) -> None:
    manifest = read_json(champion / "results/registered.json", Manifest)
    card = model_card(manifest, Provenance(), {})
    assert "Licences: not recorded." in card
    assert "non-commercial" not in card and "Its base is not recorded." in card


def test_the_history_and_a_dry_run_change_nothing(clone: Path) -> None:
    store = (clone / "mlflow.db").read_bytes()
    records = {path: path.read_bytes() for path in (clone / "records").rglob("*.json*")}
    registered, promoted = typed("history").splitlines()
    assert "  register  version 1, by " in registered
    assert "  promote  version 1, by " in promoted and registered[:27] < promoted[:27]
    with pytest.raises(GateError, match="Version 1 is the champion already"):
        would_promote(clone, "1", None)
    assert {path: path.read_bytes() for path in (clone / "records").rglob("*.json*")} == records
    assert (clone / "mlflow.db").read_bytes() == store


def test_nobody_becomes_champion_whose_weights_are_not_the_registered_ones(clone: Path) -> None:
    with (clone / WEIGHTS).open("ab") as stream:
        stream.write(b" ")
    register(clone, weights=None)
    assert publishing.publish(clone).version == "2"
    weights = object_path(clone / CACHE, file_md5(clone / WEIGHTS))
    weights.write_bytes(b"other")
    with pytest.raises(ModelError, match=r"Expected model\.safetensors with the digest"):
        would_promote(clone, None, None)
    weights.unlink()
    with pytest.raises(ModelError, match=r"found it in neither"):
        would_promote(clone, None, "it is better")  # no reason makes up for it
    assert trace(clone, "champion")["model"]["version"] == "1"


def test_a_dry_run_says_who_would_be_champion(clone: Path) -> None:
    (clone / MODEL / "note.txt").write_text("another")
    register(clone, weights=None)
    assert publishing.publish(clone).version == "2"
    said = typed("promote", "--dry-run")
    assert said == ("Version 2 would be champion instead of version 1. Nothing was changed.\n")
    assert trace(clone, "champion")["model"]["version"] == "1"
