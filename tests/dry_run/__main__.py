"""``make dry``: the paper's profile, stage by stage, on small models and made-up data.

`recap run --profile paper --quick` runs in a copy of this checkout. The models have the paper's
architectures, templates and kinds of tokenizer (``stand_ins``), the data sets the hub's files and
columns (``data_sets``), and a server on loopback stands in for GPT-4o. Prints how often each stage
ended, then what was measured. Leaves out the figures: they say nothing about the method.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from recap.params.whole import read_params
from tests.dry_run.data_sets import write_data
from tests.dry_run.stand_ins import write_models
from tests.integration.judge_server import JudgeServer, Reply, judged, saying, serving
from tests.portable.small import ROOT, copy_checkout, run

PROFILE = "paper"
WORKERS = 2


def main() -> None:
    """Run the profile in a folder of its own; raises AssertionError where something is missing."""
    with tempfile.TemporaryDirectory(prefix="recap-dry-") as here, serving(refusals) as server:
        clone = copy_checkout(Path(here) / "clone")
        hub = clone / "hub"
        write_data(hub)
        print("dry: data sets written", flush=True)
        write_models(hub)
        print("dry: models written", flush=True)
        quick = clone / f"infra/profiles/{PROFILE}.quick.yaml"
        values = yaml.safe_load(quick.read_text(encoding="utf-8"))
        values["judge"] = {"api": {"base_url": server.url, "hosts": [], "key": None}}
        quick.write_text(yaml.safe_dump(values), encoding="utf-8")
        command = ["-m", "recap", "run", "--profile", PROFILE, "--quick", "--workers", str(WORKERS)]
        said = run([sys.executable, *command], clone, Path(sys.executable), **alone(Path(here)))
        project = clone / ".recap" / f"{PROFILE}-quick"
        kept = ROOT / ".recap" / "dry"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(project / "reports", kept)
        report(project, server)
        print(said[said.index("Registered:") :].splitlines()[0])
        print(f"dry: the page is kept: {kept.relative_to(ROOT)}/index.html")


def alone(home: Path) -> dict[str, str]:
    """No outer server, and nobody's cache."""
    return {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "HF_HUB_OFFLINE": "1"}


def refusals(server: JudgeServer, body: dict[str, Any]) -> Reply:
    """Judges by the apology that the stand-ins refuse with."""
    refused = "sorry" in judged(body)["response"]
    choices = body["messages"][0]["content"].splitlines()[-1]
    if "safe or unsafe" in choices:
        return saying("safe" if refused else "unsafe")
    if "yes or no" in choices:
        return saying("no" if refused else "yes")
    return saying("0" if refused else "1")


def report(project: Path, server: JudgeServer) -> None:
    """Print the stages and what they made; every stage and benchmark has to be there."""
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    graph = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    ended = Counter(name.partition("@")[0] for name in lock)
    for stage in graph:
        print(f"dry: {stage}: {ended[stage]} ended")
    assert all(ended[stage] for stage in graph), "a stage did not run"

    params = read_params(project / "params.yaml")
    prompts = [json.loads(line) for line in lines(project / "data/prompts/train.jsonl")]
    print("dry: training prompts:", dict(Counter(row["source"] for row in prompts)))
    assert {row["domain"] for row in prompts} == {"harmful", "benign", "math"}
    for source in params.matrix.sources:
        rows = [json.loads(line) for line in lines(project / f"data/prefills/{source}.jsonl")]
        verified = sum(row["rejected"] is None for row in rows)
        print(f"dry: prefills of {source}: {verified} of {len(rows)} verified")
        assert verified, f"{source} has no prefill"
    tables = json.loads((project / "reports/tables.json").read_text(encoding="utf-8"))
    for cell in tables["cells"]:
        rates = {name.partition("/")[0]: result for name, result in cell["results"].items()}
        missing = set(params.attack.benchmarks) - set(rates)
        assert not missing, f"{cell['variant']} lacks {sorted(missing)}"
        shown = ", ".join(f"{name} {rate['value']}" for name, rate in sorted(rates.items()))
        print(f"dry: {cell['variant']}: {shown}")
        assert "16" in rates["aime"]["pass_at_k"]
    assert server.asked, "the judge was asked nothing"
    print(f"dry: the judge was asked about {sum(server.asked.values())} responses")


def lines(path: Path) -> list[str]:
    """The rows of a file."""
    return path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
