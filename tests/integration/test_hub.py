"""Models that are not made here: from a folder, and from a hub that answers on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub.utils import filter_repo_objects

from recap.errors import ModelError
from recap.microworld.pretraining import make_model
from recap.microworld.tokenizer import make_tokenizer
from recap.models.hub import obtain
from recap.models.origins import fingerprint
from recap.models.places import weights_folder
from recap.models.spelling import FILES, SECOND_COPIES
from recap.models.weights import load_model, save_model
from recap.params.models import THINK
from recap.params.whole import read_params
from recap.rows import read_json
from recap.types.origins import PROVENANCE, OriginFile, Provenance
from tests.integration.hub_server import GATED, REVISION, serving_hub

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small complete model with two files that nobody should take."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    settings = read_params(ROOT / "params.yaml").models.model_copy(
        update={"hidden_size": 16, "num_layers": 1, "num_heads": 2}
    )
    tokenizer = make_tokenizer(64)
    save_model(make_model(settings, tokenizer, 1), tokenizer, folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_own.py").write_text("raise SystemExit")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\nA model.\n")
    (folder / "consolidated.safetensors").write_bytes(b"the same again")
    (folder / "original").mkdir()
    (folder / "original/model.safetensors").write_bytes(b"the same again")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def wanted(folder: Path) -> dict[str, bytes]:
    """The files of the model without pickles, code and second copies."""
    return {
        name: data
        for name, data in contents(folder).items()
        if not name.endswith((".bin", ".py")) and "/" not in name and "consolidated" not in name
    }


def small(folder: Path) -> dict[str, bytes]:
    """Those that are copied: no weights, no card."""
    return {
        name: data
        for name, data in wanted(folder).items()
        if name not in ("model.safetensors", "README.md")
    }


def copied(out: Path) -> dict[str, bytes]:
    """What was copied to ``out``: everything but the record."""
    return {name: data for name, data in contents(out).items() if name != PROVENANCE}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests and conversions are kept in the folder that the tests work in."""
    monkeypatch.chdir(tmp_path)


def test_weights_are_fetched_once() -> None:
    """By the hub's own filter, whose ``*`` crosses folders."""
    root = ["config.json", "model-1.safetensors", "model.safetensors.index.json", "merges.txt"]
    twice = ["original/model.safetensors", "onnx/config.json", "consolidated.00.safetensors"]
    taken = filter_repo_objects(
        [*root, *twice, "model.bin"],
        allow_patterns=list(FILES),
        ignore_patterns=list(SECOND_COPIES),
    )
    assert list(taken) == root


def test_a_folder_is_taken_without_weights_pickles_and_code(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "models/policy"
    obtain(str(folder), out, THINK)
    assert copied(out) == small(folder)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["policy"]
    weights = (folder / "model.safetensors").read_bytes()
    record = read_json(out / PROVENANCE, Provenance)
    assert record == Provenance(
        origin=str(folder),
        revision=str(fingerprint(tmp_path, str(folder))),
        licence="mit",
        files=(
            OriginFile(
                name="model.safetensors",
                size=len(weights),
                sha256=hashlib.sha256(weights).hexdigest(),
            ),
        ),
    )
    assert (weights_folder(out) / "model.safetensors").resolve() == folder / "model.safetensors"
    taken, own = load_model(out).state_dict(), load_model(folder).state_dict()
    assert taken.keys() == own.keys()
    assert all(torch.equal(taken[name], own[name]) for name in own)


@pytest.mark.parametrize(
    ("remove", "index", "message"),
    [
        ("config.json", None, "which lacks config.json"),
        ("model.safetensors", None, "which lacks model.safetensors"),
        (None, {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}},
         "which lacks model-2.safetensors"),
    ],
)  # fmt: skip
def test_an_incomplete_folder_is_refused_and_the_old_model_stays(
    folder: Path, tmp_path: Path, remove: str | None, index: object, message: str
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for name, data in wanted(folder).items():
        (broken / name).write_bytes(data)
    if remove:
        (broken / remove).unlink()
    if index:
        (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    out = tmp_path / "models/policy"
    obtain(str(folder), out, THINK)
    with pytest.raises(ModelError, match=message):
        obtain(str(broken), out, THINK)
    assert copied(out) == small(folder)


def test_a_model_that_opens_no_think_block_is_refused(folder: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat"
    chat.mkdir()
    for name, data in wanted(folder).items():
        (chat / name).write_bytes(data)
    (chat / "chat_template.jinja").write_text("{{ bos_token }} <user>")
    with pytest.raises(ModelError, match="chat template has neither: it cannot think yet"):
        obtain(str(chat), tmp_path / "policy", THINK)
    obtain(str(chat), tmp_path / "guardian", None)


@pytest.mark.parametrize("origin", ["nowhere/to/be/found", "org/name", "org/name@main"])
def test_an_origin_that_is_neither_folder_nor_pinned(origin: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a package's file"):
        obtain(origin, tmp_path / "policy", THINK)


@pytest.fixture
def hub(folder: Path) -> Iterator[str]:
    """The model's repository at one revision."""
    with serving_hub("models", "org/name", contents(folder)) as (endpoint, _):
        yield endpoint


def stage(tmp_path: Path, endpoint: str, origin: str) -> subprocess.CompletedProcess[str]:
    """The stage as DVC runs it, in a folder of its own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["models"]["origins"] = {"policy": origin}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return subprocess.run(
        [sys.executable, "-m", "recap.stages.models", "policy", "--out", "models/policy"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "HF_ENDPOINT": endpoint,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_pinned_hub_model_is_downloaded(folder: Path, hub: str, tmp_path: Path) -> None:
    done = stage(tmp_path, hub, f"org/name@{REVISION}")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "models/policy"
    assert copied(out) == small(folder)
    record = read_json(out / PROVENANCE, Provenance)
    assert (record.revision, record.licence) == (REVISION, "mit")
    (weights,) = record.files
    assert (weights.name, weights.sha256) == ("model.safetensors", None)
    assert weights.size == (folder / "model.safetensors").stat().st_size
    found = asked(tmp_path)
    assert found.returncode == 0, found.stderr
    card = {"README.md": (folder / "README.md").read_bytes()}
    assert contents(Path(found.stdout.strip())) | card == wanted(folder)
    shutil.rmtree(tmp_path / ".cache")
    assert f"`hf download org/name --revision {REVISION}` fetches them again." in (
        asked(tmp_path).stderr
    )


def asked(folder: Path) -> subprocess.CompletedProcess[str]:
    """Where the weights of the policy in ``folder`` lie, as a later stage finds them."""
    code = (
        "from pathlib import Path; from recap.models.places import weights_folder;"
        "print(weights_folder(Path('models/policy')))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder), "HF_HUB_OFFLINE": "1"},
    )


def test_a_revision_that_the_hub_does_not_know(hub: str, tmp_path: Path) -> None:
    done = stage(tmp_path, hub, f"org/name@{REVISION[::-1]}")
    assert done.returncode == 2
    assert "ModelError: Expected to download org/name at 7654" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("models/*")) == []


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    done = stage(tmp_path, "http://no-such-host.invalid", f"org/name@{REVISION}")
    assert done.returncode == 2, done.stderr
    assert f"ModelError: Expected to download org/name at {REVISION}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gated_model_names_its_page(hub: str, tmp_path: Path) -> None:
    done = stage(tmp_path, hub, f"{GATED}@{REVISION}")
    assert done.returncode == 2, done.stderr
    assert "Accept them on https://huggingface.co/org/gated and set HF_TOKEN" in done.stderr
    assert list(tmp_path.glob("models/*")) == []


def test_later_stages_read_the_configuration_that_was_taken(folder: Path, tmp_path: Path) -> None:
    """Whatever the origin's folder holds by now, beside the weights that were recorded."""
    folder = shutil.copytree(folder, tmp_path / "hub/policy")
    obtain("hub/policy", tmp_path / "models/policy", THINK)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 7.0}))
    (folder / "second.safetensors").write_bytes(b"others")
    view = weights_folder(tmp_path / "models/policy")
    assert (view / "config.json").read_bytes() == (
        tmp_path / "models/policy/config.json"
    ).read_bytes()
    assert [path.name for path in view.glob("*.safetensors")] == ["model.safetensors"]
    assert weights_folder(tmp_path / "models/policy") == view
    assert load_model(tmp_path / "models/policy").config.vocab_size == config["vocab_size"]
