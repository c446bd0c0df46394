"""A state is whole or it is not there; a rotten one is set aside, a foreign one refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from recap.errors import CheckpointError, SpaceError
from recap.rl.checkpoint import CheckpointFolder, TrainingState
from recap.types.prompts import Prefill, PrefilledPrompt, PromptRecord, RenderedPrompt
from recap.types.rollouts import Reward, Rollout, RolloutGroup, Sample

THOUGHT = Prefill(
    prompt_id="p", text="i should help .", intent="harmful", source_model="self", num_words=4,
    num_tokens=4, response="sure .", rejected=None,
)  # fmt: skip
RUN = {"train.alpha": "0.5", "seed": "7"}


def state(update):
    weight = torch.nn.Parameter(torch.full((2, 3), float(update)))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    return TrainingState(
        update=update,
        model={"weight": weight.detach()},
        optimizer=optimizer.state_dict(),
        scheduler={"last_epoch": 2 * update, "base_lrs": [0.1]},
        progress={"cursor": 15 * update, "broken": 0},
        levels={"alpha_harmful": 0.1 * update, "length_harmful": 80 / 3},
        self_prefills=[THOUGHT.model_copy(update={"prompt_id": f"p{n}"}) for n in range(update)],
        metrics=[{"update": n, "reward": 0.1 * n, "loss": None} for n in range(1, update + 1)],
        carried=[carried(update)],
    )


def carried(update):
    """A group with floats of every kind, a prefill and an unscored member."""
    record = PromptRecord(
        id="p", domain="harmful", prompt="how\u2028?", target=None, source="s", split="train"
    )
    prefill = Prefill(
        prompt_id="p", text="wait", intent="harmful", source_model="harmful", num_words=1,
        num_tokens=1, response="", rejected=None,
    )  # fmt: skip
    prompt = PrefilledPrompt(record, prefill)
    logprobs = (-0.1, -1 / 3, -5e-324, float("-inf"))
    rollouts = tuple(
        Rollout(prompt, RenderedPrompt((1, 2), 1), Sample((3, 4, 5, 2), logprobs, reason), "", said)
        for reason, said in (("stop", "no"), ("length", None))
    )
    return RolloutGroup(
        prompt, rollouts, (Reward(0.1 + 0.2, "safety"), Reward(None, "safety")), update
    )


def test_a_state_comes_back_as_it_was(tmp_path):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    assert folder.load() is None
    folder.save(state(3))
    loaded, expected = folder.load(), state(3)
    assert loaded.update == 3
    assert torch.equal(loaded.model["weight"], expected.model["weight"])
    assert torch.equal(
        loaded.optimizer["state"][0]["exp_avg"], expected.optimizer["state"][0]["exp_avg"]
    )
    assert loaded.scheduler == expected.scheduler
    assert loaded.progress == {"cursor": 45, "broken": 0}
    assert loaded.metrics == expected.metrics
    assert loaded.levels == {"alpha_harmful": 0.1 * 3, "length_harmful": 80 / 3}
    assert loaded.self_prefills == expected.self_prefills
    assert [thought.prompt_id for thought in loaded.self_prefills] == ["p0", "p1", "p2"]
    assert loaded.carried == expected.carried


def test_the_last_two_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    for update in (2, 4, 6, 10):
        folder.save(state(update))
    assert sorted(path.name for path in folder.path.iterdir()) == ["update-000006", "update-000010"]


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / "state.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forget(folder):
    (folder / "carried.json").write_text("[]")


def lose(folder):
    (folder / "metrics.jsonl").unlink()


def lose_thoughts(folder):
    (folder / "self_prefills.jsonl").unlink()


def lose_manifest(folder):
    (folder / "manifest.json").unlink()


def garble_manifest(folder):
    (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    "harm", [truncate, flip, forget, lose, lose_thoughts, lose_manifest, garble_manifest]
)
def test_a_broken_state_is_set_aside_for_the_one_before(tmp_path, harm):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    folder.save(state(2))
    folder.save(state(4))
    harm(folder.path / "update-000004")
    assert folder.load().update == 2
    assert (folder.path / "update-000004.broken").is_dir()
    folder.save(state(4))
    assert folder.load().update == 4
    harm(folder.path / "update-000004")
    assert folder.load().update == 2  # the one set aside before gives way


def test_a_half_written_state_is_invisible(tmp_path):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    folder.save(state(2))
    (folder.path / ".update-000004.part").mkdir()
    (folder.path / ".update-000004.part" / "model.safetensors").write_bytes(b"half")
    assert folder.load().update == 2
    folder.save(state(4))
    assert folder.load().update == 4
    assert not (folder.path / ".update-000004.part").exists()


def test_other_parameters_get_a_folder_of_their_own(tmp_path):
    mine = CheckpointFolder(tmp_path, "recap-0", RUN)
    other = CheckpointFolder(tmp_path, "recap-0", RUN | {"train.alpha": "0.6"})
    mine.save(state(2))
    assert mine.path != other.path
    assert other.load() is None
    assert CheckpointFolder(tmp_path, "recap-0", dict(reversed(RUN.items()))).load().update == 2


def test_a_state_of_another_run_is_refused_with_the_difference(tmp_path):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    folder.save(state(2))
    manifest = folder.path / "update-000002" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["run"]["train.alpha"] = "1.0"
    manifest.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"in train\.alpha \(expected 0\.5, got 1\.0\)\."):
        folder.load()


def test_a_finished_run_sweeps_what_other_settings_left(tmp_path):
    alphas = ("0.1", "0.2", "0.3")
    folders = [CheckpointFolder(tmp_path, "recap-0", RUN | {"train.alpha": a}) for a in alphas]
    for age, folder in zip((30, 10, 20), folders, strict=True):  # the second was used last
        folder.save(state(2))
        os.utime(folder.path, (1e9 - age, 1e9 - age))
    mine = CheckpointFolder(tmp_path, "recap-0", RUN)
    mine.save(state(2))
    foreign = [CheckpointFolder(tmp_path, name, RUN) for name in ("recap-1", "recap-0-0", "dapo-0")]
    for folder in foreign:
        folder.save(state(2))
    (tmp_path / "recap-0.lock").touch()
    (tmp_path / "recap-0.live.jsonl").touch()
    mine.remove()
    left = {folders[1].path, *(folder.path for folder in foreign)}
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == left
    assert (tmp_path / "recap-0.lock").exists() and (tmp_path / "recap-0.live.jsonl").exists()
    assert folders[1].load().update == 2


def test_every_file_is_on_disk_before_its_manifest_and_all_before_the_name(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    done, sync, rename = [], os.fsync, Path.rename

    def syncing(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        size = path.stat().st_size if path.is_file() else None
        done.append((path.relative_to(tmp_path).as_posix(), size))
        sync(handle)

    def renaming(path, target):
        done.append((path.name, Path(target).name))
        return rename(path, target)

    monkeypatch.setattr("recap.rl.checkpoint.os.fsync", syncing)
    monkeypatch.setattr(Path, "rename", renaming)
    folder.save(state(2))
    monkeypatch.undo()
    own, final = folder.path.name, folder.path / "update-000002"
    part = f"{own}/.update-000002.part"
    files = [
        "model.safetensors", "state.pt", "metrics.jsonl", "self_prefills.jsonl", "carried.json",
        "manifest.json",
    ]  # fmt: skip
    assert sorted(files) == sorted(path.name for path in final.iterdir())
    assert done == [
        *((f"{part}/{name}", (final / name).stat().st_size) for name in files),  # whole by then
        (part, None),
        (".update-000002.part", "update-000002"),
        (own, None),
    ]


def test_a_full_disk_leaves_the_states_as_they_were(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path, "recap-0", RUN)
    folder.save(state(2))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recap.rl.checkpoint.os.fsync", full)
    with pytest.raises(SpaceError, match="disk is full"):
        folder.save(state(4))
    monkeypatch.undo()
    assert [path.name for path in folder.path.iterdir()] == ["update-000002"]
    assert folder.load().update == 2
