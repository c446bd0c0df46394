"""Models in GGUF files: converted once, with their own tokenizer, refused without all weights."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from recap.errors import ModelError
from recap.microworld.tokenizer import make_tokenizer
from recap.models.gguf_header import ARCHITECTURES, BLOCKS
from recap.models.hub import obtain
from recap.models.places import weights_folder
from recap.models.weights import load_model
from recap.params.models import THINK
from recap.rows import read_json
from recap.types.origins import PROVENANCE, Provenance


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests and conversions are kept in the folder that the tests work in."""
    monkeypatch.chdir(tmp_path)


def make_gguf(path: Path, without: str | None = None) -> dict[str, torch.Tensor]:
    """A Llama of one layer as a GGUF file in fp32; its weights under GGUF's names.

    ``without``: a tensor that the file lacks.
    """
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_license("apache-2.0")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(8)
    words = ["<unk>", "<s>", "</s>", "a", "b", "ab", "ba"]
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1])
    writer.add_token_merges(["a b", "b a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{{ messages[0].content }}")
    torch.manual_seed(0)
    shapes = {
        "token_embd": (7, 16), "output_norm": (16,), "output": (7, 16),
        "blk.0.attn_norm": (16,), "blk.0.attn_q": (16, 16), "blk.0.attn_k": (16, 16),
        "blk.0.attn_v": (16, 16), "blk.0.attn_output": (16, 16), "blk.0.ffn_norm": (16,),
        "blk.0.ffn_gate": (24, 16), "blk.0.ffn_up": (24, 16), "blk.0.ffn_down": (16, 24),
    }  # fmt: skip
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    tensors.pop(without or "", None)
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_a_gguf_file_is_converted_once(tmp_path: Path) -> None:
    tensors = make_gguf(tmp_path / "small.gguf")
    sha256 = hashlib.sha256((tmp_path / "small.gguf").read_bytes()).hexdigest()
    with pytest.raises(ModelError, match="chat template has neither: it cannot think yet"):
        obtain("small.gguf", tmp_path / "models/policy", THINK)
    assert not (tmp_path / ".recap/origins" / sha256).exists()
    for name in ("guardian", "rubric"):
        obtain("small.gguf", tmp_path / "models" / name, None)
    record = read_json(tmp_path / "models/guardian" / PROVENANCE, Provenance)
    assert (record.revision, record.licence) == (sha256, "apache-2.0")
    assert {path.suffix for path in (tmp_path / "models").rglob("*.*")} <= {".json", ".jinja"}
    converted = tmp_path / ".recap/origins" / sha256
    assert weights_folder(tmp_path / "models/guardian") == converted
    assert weights_folder(tmp_path / "models/rubric") == converted
    model = load_model(tmp_path / "models/guardian")
    assert model.dtype == torch.float32
    weights = model.state_dict()
    for name, own in {
        "model.embed_tokens": "token_embd",
        "lm_head": "output",
        "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
        "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    }.items():
        assert torch.equal(weights[f"{name}.weight"], tensors[own])
    shutil.rmtree(converted)  # as `make clean` does
    assert weights_folder(tmp_path / "models/guardian") == converted
    again = load_model(tmp_path / "models/guardian").state_dict()
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    shutil.rmtree(converted)
    (tmp_path / "small.gguf").write_bytes(b"another")
    with pytest.raises(ModelError, match=f"with the sha256 {sha256}, got "):
        weights_folder(tmp_path / "models/guardian")


def test_a_file_of_the_same_name_in_the_current_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    tensors = make_gguf(tmp_path / "given/small.gguf")
    (tmp_path / "small.gguf").write_bytes(b"another")
    obtain("given/small.gguf", tmp_path / "models/guardian", None)
    weights = load_model(tmp_path / "models/guardian").state_dict()
    assert torch.equal(weights["lm_head.weight"], tensors["output"])


def test_the_header_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gguf

    make_gguf(tmp_path / "small.gguf")
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(gguf, name)

        def counting(*arguments: Any) -> Any:
            calls.append(name)
            return original(*arguments)

        return counting

    patched = {name: counted(name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, counting in patched.items():
        monkeypatch.setattr(gguf, name, counting)
    obtain("small.gguf", tmp_path / "models/guardian", None)
    assert sorted(calls) == ["GGUFReader", "get_tensor_name_map"]
    assert {name: getattr(gguf, name) for name in patched} == patched


def test_a_gguf_files_tokenizer_is_its_own_with_its_own_end(tmp_path: Path) -> None:
    """Its neighbours are another model's; transformers alone would make its BOS its EOS."""
    folder = tmp_path / "hub"
    folder.mkdir()
    make_gguf(folder / "small.gguf")
    other = make_tokenizer(64)
    other.save_pretrained(folder)
    obtain("hub/small.gguf", tmp_path / "models/guardian", None)
    found = AutoTokenizer.from_pretrained(tmp_path / "models/guardian")
    assert (found.bos_token, found.eos_token, found.eos_token_id) == ("<s>", "</s>", 2)
    assert found.convert_tokens_to_ids(["a", "ab"]) == [3, 5]
    assert found.chat_template == "{{ messages[0].content }}"


def test_a_gguf_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    make_gguf(tmp_path / "small.gguf", without="blk.0.ffn_down")
    with pytest.raises(ModelError, match=r"got none that fit for 1 of them, .*down_proj\.weight"):
        obtain("small.gguf", tmp_path / "models/guardian", None)
    assert not list((tmp_path / ".recap/origins").glob("*/"))


def test_the_tables_of_the_header_are_those_of_the_libraries() -> None:
    from gguf import GGML_QUANT_SIZES
    from transformers.integrations.gguf import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    assert {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()} == BLOCKS
    spelled = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"}
    known = {spelled.get(name, name.replace("-", "_")) for name in ARCHITECTURES}
    others = {"general", "tokenizer", "t5", "umt5"}  # no architecture, no decoder
    assert known == set(GGUF_SUPPORTED_ARCHITECTURES) - others | set(GGUF_ARCHS)
