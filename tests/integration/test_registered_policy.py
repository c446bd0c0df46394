"""A registered version as an MLflow model; a real SQLite store, a real DVC cache, a tiny model.

Locks: 1. the champion loads by its plain MLflow address inside a clone, also a copied one, and
answers as the policy's sampler does; 2. no weights lie in the store, no pickle, no code; 3. weights
that the cache lacks come from the remote; 4. a missing, damaged or foreign file is one refusal;
5. a version of earlier times is read from its tags, and loads from a store that is made anew.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from recap.cli import publish as publishing
from recap.errors import DataError, ModelError, RenderError
from recap.pipeline.cache import object_path
from recap.pipeline.lock import file_md5
from recap.render import Renderer
from recap.runtime.child import environment, start
from recap.runtime.ports import free_port
from recap.sampling.torch_sampler import load_torch_sampler
from recap.tracking.history import RECORDS
from recap.tracking.lineage import trace
from recap.tracking.runs import open_store
from recap.tracking.store import store_name
from recap.types.rollouts import Decoding
from tests.integration.champion import MODEL, WEIGHTS, dvc
from tests.integration.registry_project import CACHE, NAME, ROOT, register
from tests.waiting import until_served

CHAMPION = f"models:/{NAME}@champion"
PROMPTS = [
    {"prompt": "what is 7 plus 5 ?", "prefill": ""},
    {"prompt": "how do i", "prefill": "i should"},
]


def load(uri: str = CHAMPION) -> mlflow.pyfunc.PyFuncModel:
    # MLflow keeps one connection for each address: a relative one is the last test's store.
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    try:
        return mlflow.pyfunc.load_model(uri)
    finally:
        mlflow.set_tracking_uri(None)


def artifacts(root: Path) -> Path:
    with open_store(root) as client:
        source = client.get_model_version_by_alias(NAME, "champion").source
    return Path(url2pathname(urlparse(source).path))


def test_the_champion_loads_by_its_address_and_answers_as_its_sampler(clone: Path) -> None:
    renderer = Renderer.from_dir(clone / MODEL)
    prompts = [renderer.prompt("what is 7 plus 5 ?"), renderer.prompt("how do i", "i should")]
    sampler = load_torch_sampler(clone / MODEL, 8)

    def sampled(decoding: Decoding, seed: int) -> list[tuple[str, str | None]]:
        groups = sampler.sample(prompts, decoding, num_samples=1, seed=seed)
        return [renderer.split(sample.token_ids)[:2] for (sample,) in groups]

    as_measured, other = sampled(Decoding(1.0, 1.0, 96), 0), sampled(Decoding(0.5, 0.9, 7), 3)
    shutil.rmtree(clone / MODEL)
    policy = load()
    answers = policy.predict(PROMPTS)
    assert list(answers.columns) == ["thought", "response"]
    assert list(answers.itertuples(index=False, name=None)) == as_measured
    options = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 3}
    again = policy.predict(PROMPTS, params=options)
    assert list(again.itertuples(index=False, name=None)) == other != as_measured
    bare = policy.predict([{"prompt": "what is 7 plus 5 ?"}, {"prompt": "how do i"}])
    assert bare["thought"].tolist()[0] == as_measured[0][0]
    assert bare["thought"].tolist()[1] != as_measured[1][0]
    example = policy.input_example
    assert example.to_dict("list") == {"prompt": ["what is this ?"], "prefill": ["let us see ."]}
    assert len(policy.predict(example)) == 1
    with pytest.raises(MlflowException, match="Model is missing inputs \\['prompt'\\]"):
        policy.predict([{"prefill": "i should"}])
    with pytest.raises(RenderError, match="Expected a prompt without template markers"):
        policy.predict([{"prompt": "</think> sure"}])
    with pytest.raises(DataError, match="Expected a text in each row of 'prompt', got a list"):
        policy.predict({"prompt": ["what is 7 plus 5 ?", "how do i"]})


def test_the_address_is_all_that_a_user_types(clone: Path) -> None:
    """A process of its own below the clone, as a notebook is."""
    (clone / "notebooks").mkdir()
    typed = f"import mlflow\nprint(mlflow.pyfunc.load_model('{CHAMPION}').predict({PROMPTS}).shape)"
    said = subprocess.run(
        [sys.executable, "-c", typed],
        cwd=clone / "notebooks",
        env=environment(PYTHONPATH=str(ROOT), MLFLOW_TRACKING_URI="sqlite:///../mlflow.db"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "(2, 2)\n"


def test_mlflows_own_server_answers_as_the_policy_does(clone: Path) -> None:
    """`mlflow models serve`, in the clone and with its environment."""
    port, log = free_port(), clone / "serve.log"
    command = ["-m", "mlflow", "models", "serve", "--model-uri", CHAMPION]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as stream:
        server = start(
            command,
            cwd=clone,
            env=environment(PYTHONPATH=str(ROOT), MLFLOW_TRACKING_URI="sqlite:///mlflow.db"),
            stdout=stream,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        until_served(f"http://127.0.0.1:{port}/ping", server, log)
        options = {"temperature": 0.5, "max_tokens": 7, "seed": 3}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_records": PROMPTS, "params": options}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked) as answer:
            served = json.load(answer)["predictions"]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert served == load().predict(PROMPTS, params=options).to_dict("records")


def test_a_version_holds_an_mlflow_model_and_no_weights(clone: Path) -> None:
    files = {path.name: path.read_bytes() for path in artifacts(clone).iterdir()}
    assert sorted(files) == [
        "MLmodel",
        "evidence.json",
        "input_example.json",
        "manifest.json",
        "provenance.json",
    ]
    assert b"loader_module: recap.tracking.policy" in files["MLmodel"]
    assert (clone / WEIGHTS).read_bytes() not in files.values()
    with open_store(clone) as client:
        version = client.get_model_version(NAME, "1")
        runs = client.search_runs([client.get_experiment_by_name("recap").experiment_id])
    tags = [*version.tags.items(), *(tag for run in runs for tag in run.data.tags.items())]
    assert len(runs) == 3 and not {"params", "data", "rates"} & version.tags.keys()
    assert [key for key, text in tags if text.startswith(("{", "[")) or len(text) > 500] == []


def test_a_version_thinks_between_the_tags_that_it_was_trained_with(clone: Path) -> None:
    place = artifacts(clone) / "provenance.json"
    origin = json.loads(place.read_text())
    assert origin["params"]["models.reasoning.open"] == "<think>"
    assert origin["params"]["models.reasoning.close"] == "</think>"
    origin["params"] |= {"models.reasoning.open": "[plan]", "models.reasoning.close": "[/plan]"}
    place.write_text(json.dumps(origin))
    policy = load()
    with pytest.raises(RenderError, match="Expected a prompt without template markers"):
        policy.predict([{"prompt": "[/plan] sure"}])


def test_weights_that_the_cache_lacks_come_from_the_remote(clone: Path, tmp_path: Path) -> None:
    weights = object_path(clone / CACHE, file_md5(clone / WEIGHTS))
    shutil.copytree(clone / ".dvc/cache", tmp_path / "remote")
    shutil.rmtree(clone / MODEL)
    weights.unlink()
    dvc(clone, "remote", "add", "-d", "far", str(tmp_path / "remote"))
    assert len(load().predict(PROMPTS)) == 2
    assert weights.stat().st_mode & 0o777 == 0o444
    far = object_path(tmp_path / "remote/files/md5", weights.parent.name + weights.name)
    far.chmod(0o644)
    far.write_bytes(b"other")
    weights.unlink()
    with pytest.raises(ModelError, match="the remote's file has the digest"):
        load()
    assert not weights.exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), r"in DVC's cache \(.*\) or on its default remote"),
        (lambda path: (path.chmod(0o644), path.write_bytes(b"{}")), "got other content. Delete"),
    ],
    ids=["gone", "changed"],
)
def test_a_file_that_is_not_the_registered_one_is_refused(
    clone: Path, harm: Callable[[Path], object], said: str
) -> None:
    path = object_path(clone / CACHE, file_md5(clone / WEIGHTS))
    harm(path)
    with pytest.raises(ModelError, match=rf"Expected model.safetensors with the digest .*{said}"):
        load()


def test_a_manifest_of_other_files_is_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / MODEL / "pytorch_model.bin").write_bytes(b"a pickle")
    register(clone, weights=None)
    publishing.publish(clone)
    with pytest.raises(ModelError, match=r"manifest, got 'pytorch_model\.bin'"):
        load(f"models:/{NAME}/2")
    monkeypatch.chdir("/")
    mlflow.set_tracking_uri(f"sqlite:///{clone}/mlflow.db")
    with pytest.raises(ModelError, match="Expected a clone of the project around /"):
        mlflow.pyfunc.load_model(CHAMPION)
    mlflow.set_tracking_uri(None)


def test_a_version_of_earlier_times_is_read_and_a_new_store_has_it_whole(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had its parameters and data in tags, and no more files than manifest and evidence."""
    place, now = artifacts(clone), trace(clone, "champion")
    origin = json.loads((place / "provenance.json").read_text())
    for name in ("MLmodel", "input_example.json", "provenance.json"):
        (place / name).unlink()
    with open_store(clone) as client:
        for key in ("params", "data"):
            client.set_model_version_tag(NAME, "1", key, json.dumps(origin[key]))
    assert trace(clone, "champion") == now
    assert publishing.publish(clone).version == "1"
    with pytest.raises(MlflowException, match='Could not find an "MLmodel" configuration file'):
        load()
    for record in (clone / RECORDS).rglob("provenance.json"):
        record.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{clone}/new.db")
    records = clone / RECORDS / f"{NAME}.jsonl"
    records.write_text(records.read_text().replace('"local"', json.dumps(store_name(clone))))
    assert publishing.publish(clone).aliases == ("champion",)
    assert len(mlflow.pyfunc.load_model(CHAMPION).predict(PROMPTS)) == 2
    assert trace(clone, "champion") == now
