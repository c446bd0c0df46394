"""The folder of the services: what lies where, ports, secrets, and the file to source.

Secrets are made once, at random, and lie in files of mode 0600 alone. Servers get them through
their environment or through libpq's password file, so that no command line and no address has one.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from recap.rows import atomic_path, read_json, write_json
from recap.types.row import Row

HOST = "127.0.0.1"
OWNER, ROLE, ADMIN = "postgres", "recap", "recap"
"""PostgreSQL's superuser, for set-up and backup; the role of the servers; MLflow's first user."""
DATABASES = ("mlflow", "mlflow_auth", "prefect")
BUCKET = "recap"
"""Of the store: DVC's remote lies in it."""
STORE_PORTS = (
    *("s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc"),
    *("volume.port", "volume.port.grpc", "master.port", "master.port.grpc"),
)
"""What SeaweedFS calls its ports; they follow each other, and only the first is for clients."""


class Ports(Row):
    """On 127.0.0.1."""

    postgres: int = 5433
    store: int = 8333
    mlflow: int = 5000
    prefect: int = 4200
    guardian: int = 8100

    def of(self, service: str) -> range:
        """All ports of a service that listens."""
        first = int(getattr(self, service))
        return range(first, first + (len(STORE_PORTS) if service == "store" else 1))


class Secrets(Row):
    """A password or key each, the store's name, and the key that signs MLflow's forms."""

    owner: str
    role: str
    store_id: str
    store_key: str
    mlflow: str
    flask: str
    prefect: str
    guardian: str


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of services, absolute."""

    root: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def store(self) -> Path:
        """The store's objects, settings and certificate."""
        return self.root / "store"

    @property
    def guardian(self) -> Path | None:
        """The model that a vLLM server has, where one was chosen."""
        file = self.root / "guardian"
        return Path(file.read_text(encoding="utf-8")) if file.is_file() else None

    @property
    def artifacts(self) -> Path:
        """What MLflow keeps beside its database."""
        return self.root / "artifacts"

    @property
    def exports(self) -> Path:
        """Lines for a shell."""
        return self.root / "env"

    @property
    def passwords(self) -> Path:
        """The password file of libpq."""
        return self.root / "pgpass"

    @property
    def auth(self) -> Path:
        """MLflow's settings of authentication; no secret in them."""
        return self.root / "mlflow_auth.ini"

    def log(self, service: str) -> Path:
        """What a service says."""
        return self.root / "logs" / f"{service}.log"

    @property
    def made(self) -> bool:
        """Whether there are services here at all."""
        return (self.root / "ports.json").is_file()

    def ports(self) -> Ports:
        """As they were last brought up; raises DataError where they never were."""
        return read_json(self.root / "ports.json", Ports)

    def secrets(self) -> Secrets:
        """Raises DataError where there are none."""
        return read_json(self.root / "secrets.json", Secrets)

    def uri(self, database: str, driver: str) -> str:
        """A database's address, without the password."""
        return f"postgresql+{driver}://{ROLE}@{HOST}:{self.ports().postgres}/{database}"


def prepare(place: Place, ports: Ports, guardian: Path | None = None) -> None:
    """Make the folder, its secrets and its settings; what is there stays, but for the arguments."""
    for folder in (place.root, place.artifacts, place.log("").parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # PostgreSQL refuses root and runs as another user, who has to pass through.
    place.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
    write_json(place.root / "ports.json", ports)
    if guardian is None:
        (place.root / "guardian").unlink(missing_ok=True)
    else:
        write_private(place.root / "guardian", str(guardian))
    file = place.root / "secrets.json"
    kept = json.loads(file.read_bytes()) if file.is_file() else {}
    made = {name: secrets.token_urlsafe(24) for name in Secrets.model_fields if name not in kept}
    if made:  # all at the first `up`; later those of a service that came with a new version
        write_private(file, json.dumps(kept | made))
    known = place.secrets()
    lines = (f"{HOST}:*:*:{OWNER}:{known.owner}", f"{HOST}:*:*:{ROLE}:{known.role}")
    write_private(place.passwords, "".join(f"{line}\n" for line in lines))
    write_private(place.auth, _AUTH.format(uri=place.uri("mlflow_auth", "psycopg"), admin=ADMIN))
    exports = (f"export {name}='{value}'" for name, value in client(place).items())
    write_private(place.exports, "".join(f"{line}\n" for line in exports))


def client(place: Place) -> dict[str, str]:
    """The variables by which stages, MLflow, Prefect and DVC find the servers and sign in."""
    ports, known = place.ports(), place.secrets()
    return {
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports.mlflow}",
        "MLFLOW_TRACKING_USERNAME": ADMIN,
        "MLFLOW_TRACKING_PASSWORD": known.mlflow,
        "PREFECT_API_URL": f"http://{HOST}:{ports.prefect}/api",
        "PREFECT_API_AUTH_STRING": f"{ADMIN}:{known.prefect}",
        "AWS_ENDPOINT_URL": f"http://{HOST}:{ports.store}",
        "AWS_ACCESS_KEY_ID": known.store_id,
        "AWS_SECRET_ACCESS_KEY": known.store_key,
        "AWS_SESSION_TOKEN": "",  # one of the caller's own account would go along
        **(_guardian(place) if place.guardian else {}),
    }


def _guardian(place: Place) -> dict[str, str]:
    """Where stages find it, and with which key (recap/scoring/guardian.py)."""
    return {
        "RECAP_GUARDIAN": f"http://{HOST}:{place.ports().guardian}",
        "RECAP_GUARDIAN_KEY": place.secrets().guardian,
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, at no moment others."""
    with atomic_path(path) as part:
        part.chmod(0o600)
        part.write_text(text, encoding="utf-8")


_AUTH = """[mlflow]
default_permission = READ
database_uri = {uri}
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 10
"""
