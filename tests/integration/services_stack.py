"""All services of `recap services` for one module of tests, and what is in them. Not a test."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from recap.microworld.tokenizer import make_tokenizer
from recap.models.weights import save_model
from recap.runtime.child import environment
from recap.runtime.ports import free_port
from recap.services import store
from recap.services.place import BUCKET, STORE_PORTS, Place, client
from recap.services.processes import found
from recap.services.servers import services
from recap.tracking.entries import read_moves
from recap.tracking.runs import open_store
from tests.integration.needs_vllm import BLANK, MISSING
from tests.integration.registry_project import NAME, ROOT, make_registry_project
from tests.integration.test_registry import aliases
from tests.tiny import vllm_policy

NOBODY = "nobody"


@dataclass
class Stack:
    """Services under test, all that their commands said, and whose they are, if not the tests'."""

    place: Place
    project: Path
    said: list[str] = field(default_factory=list)
    user: str | None = None
    interpreter: str = sys.executable
    libraries: str = os.environ.get("LD_LIBRARY_PATH", "")

    def recap(self, *arguments: str, code: int = 0) -> str:
        """What `recap services` says."""
        done = subprocess.run(
            [self.interpreter, "-m", "recap", "services", *arguments],
            cwd=self.project,
            env=environment(
                PYTHONPATH=str(ROOT), HOME=str(self.project), LD_LIBRARY_PATH=self.libraries
            ),
            capture_output=True,
            text=True,
            check=False,
            **become(self.user),
        )
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == code, self.said[-1]
        return self.said[-1]

    def python(self, *arguments: str) -> subprocess.Popen[str]:
        """A script or module that signs in."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.project,
            env=environment(PYTHONPATH=str(ROOT), **client(self.place)),
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def services(self) -> tuple[str, ...]:
        """All of them; the guardian is one where vLLM can run."""
        return services(self.place.guardian)

    def processes(self) -> list[psutil.Process]:
        return [process for service in self.services for process in found(self.place, service)]

    def give_away(self) -> bool:
        """From now on all files and commands are somebody else's; false where we are not root."""
        if os.geteuid() != 0:
            return False
        top, owner = self.place.root.parent, pwd.getpwnam(NOBODY)
        found, self.libraries = _reachable_python(top)
        for path in (top, *top.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        self.user, self.interpreter = NOBODY, found
        return True


def check_installed() -> None:
    """Skip where the services are not installed; in CI that is a failure."""
    if shutil.which("postgres") is None and not list(Path("/usr/lib/postgresql").glob("*/bin")):
        if os.environ.get("CI"):
            pytest.fail("CI has no PostgreSQL")
        pytest.skip("PostgreSQL is not installed")
    if "CI" not in os.environ:
        pytest.importorskip("psycopg", reason="the extra `services` is not installed")
        pytest.importorskip("flask_wtf", reason="the extra `services` is not installed")
        if not Path(sys.executable).with_name("weed").is_file():
            pytest.skip("the extra `services` is not installed")


@contextmanager
def running_stack() -> Iterator[Stack]:
    """All services, in a folder that other users can reach (pytest's are closed)."""
    check_installed()
    folder = Path(tempfile.mkdtemp(prefix="recap-services-", dir="/tmp"))
    folder.chmod(0o711)
    project = folder / "clone-0"
    project.mkdir()
    made = Stack(Place(folder / "services"), make_registry_project(project))
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("bootstrap: 2000", "bootstrap: 100"))  # for speed
    names = ("postgres", "mlflow", "prefect", "guardian")
    options = [f"--store-port={free_row()}"]
    options += [f"--{name}-port={free_port()}" for name in names]
    if not (MISSING or BLANK):
        tokenizer = make_tokenizer(256)
        policy = vllm_policy(tokenizer, tie_word_embeddings=True)
        save_model(policy, tokenizer, folder / "guardian")
        options += [f"--guardian={folder / 'guardian'}"]
    try:
        made.recap("up", f"--folder={made.place.root}", *options)
        yield made
    finally:
        made.recap("down", f"--folder={made.place.root}")
        shutil.rmtree(folder)


def free_row() -> int:
    """The first of as many free ports in a row as the store takes, below those of connections."""
    for _ in range(100):
        first = random.randrange(10_000, 32_000)
        with ExitStack() as probes:
            try:
                for number in range(len(STORE_PORTS)):
                    probes.enter_context(socket.create_server(("127.0.0.1", first + number)))
            except OSError:
                continue
            return first
    raise AssertionError("no row of free ports")


def _reachable_python(top: Path) -> tuple[str, str]:
    """Ours, or where others may not enter its folder (root's own) a copy of it at ``top``.

    With the folder of its library.
    """
    within = [sys.executable, "-c", "import recap"]
    try:
        subprocess.run(within, env=environment(PYTHONPATH=str(ROOT)), check=True, **become(NOBODY))
        return sys.executable, ""
    except PermissionError:
        copy, made = top / "python", top / "venv"
    left = shutil.ignore_patterns("site-packages", "test", "__pycache__", "share", "*.a")
    shutil.copytree(sys.base_prefix, copy, symlinks=True, ignore=left)
    base = copy / "bin" / Path(os.path.realpath(sys.executable)).name
    env = environment(LD_LIBRARY_PATH=str(copy / "lib"))
    subprocess.run([base, "-m", "venv", "--without-pip", made], env=env, check=True)
    (packages,) = made.glob("lib/python3.*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    (made / "bin/weed").symlink_to(Path(sys.executable).with_name("weed"))
    return str(made / "bin/python"), str(copy / "lib")


def become(user: str | None) -> dict[str, Any]:
    """Options of a process that is another user's, with no right of ours left."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def put(stack: Stack, key: str, body: bytes) -> None:
    """An object in the store's bucket."""
    store.connect(stack.place).put_object(Bucket=BUCKET, Key=key, Body=body)


def objects(stack: Stack) -> dict[str, bytes]:
    """All objects of the store's bucket, by their keys."""
    s3 = store.connect(stack.place)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def content(stack: Stack) -> dict[str, Any]:
    """What users would miss: runs, curves, versions, aliases, moves, artifacts, objects, pools."""
    known = client(stack.place)
    with open_store(stack.project) as store:
        experiments = store.search_experiments()
        runs = store.search_runs([found.experiment_id for found in experiments])
        versions = store.search_model_versions()
        told = {
            "experiments": sorted(found.name for found in experiments),
            "runs": sorted((run.info.run_id, str(run.data.to_dictionary())) for run in runs),
            "versions": sorted((v.name, v.version, v.source, str(v.tags)) for v in versions),
            "aliases": aliases(stack.project),
            "moves": read_moves(store, NAME).told,
        }
    answer = httpx.post(
        f"{known['PREFECT_API_URL']}/work_pools/filter",
        auth=("recap", stack.place.secrets().prefect),
        json={},
        trust_env=False,
        timeout=60,
    )
    files = [path for path in stack.place.artifacts.rglob("*") if path.is_file()]
    assert told["runs"] and told["versions"] and files
    return {
        **told,
        "objects": objects(stack),
        "pools": [(pool["id"], pool["name"]) for pool in answer.json()],
        "files": sorted((str(p.relative_to(stack.place.root)), p.read_bytes()) for p in files),
    }
