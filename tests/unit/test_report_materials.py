"""The tables of data sets and models with their licences."""

from __future__ import annotations

from pathlib import Path

from recap.models.records import origins_taken
from recap.params.whole import read_params
from recap.report.materials import DataRow, ModelRow, materials
from recap.rows import write_json
from recap.types.origins import Provenance
from tests.integration.report_materials import COUNTS

ROOT = Path(__file__).parents[2]
SHA = "ab" * 32
DASH = "\N{EN DASH}"


def test_each_data_set_says_its_licence_and_what_was_left_out() -> None:
    assert materials(COUNTS, {}).data == (
        DataRow(
            name="star1",
            licence="Apache-2.0",
            rows="1000",
            train="990",
            evaluation=DASH,
            left_out="missing column: question 2, duplicates 3, in wildjailbreak 4, "
            "nearly in strongreject 1",
        ),
        DataRow("notes", "none stated", "7", DASH, "7", "not used 200"),
    )


def test_models_that_were_taken_are_listed_with_origin_revision_and_licence(tmp_path: Path) -> None:
    records = {
        "policy": Provenance(
            origin=f"package:llm/file.gguf@{SHA}", revision=SHA, licence="Apache-2.0", files=()
        ),
        "harmful_eval": Provenance(origin="hub/model", revision=SHA, licence=None, files=()),
        "guardian/rubric": Provenance(
            origin=f"org/name@{SHA[:40]}", revision=SHA[:40], licence="llama3.1", files=()
        ),
        "nobody": Provenance(origin="hub/other", revision=SHA, licence=None, files=()),
    }
    for name, record in records.items():
        write_json(tmp_path / name / "origin.json", record)
    taken = origins_taken(tmp_path, read_params(ROOT / "params.yaml").matrix)
    assert materials([], taken).models == (
        ModelRow("policy", "package:llm/file.gguf", "abababababab", "Apache-2.0"),
        ModelRow("harmful_eval", "hub/model", "abababababab", "none stated"),
        ModelRow("rubric", "org/name", "abababababab", "llama3.1"),
    )
