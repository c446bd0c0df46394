"""What keeps the store closed, and what a backup of it takes, without a server.

Locks: 1. an inner port that does not ask for the certificate makes the store ill; 2. a backup takes
the objects of one moment, and no key that would leave its folder; 3. secrets that exist stay.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recap.errors import DataError, ServiceError
from recap.services import store
from recap.services.place import Place, Ports, prepare


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "services")
    prepare(made, Ports())
    store.configure(made)
    return made


@contextmanager
def server(context: ssl.SSLContext | None) -> Iterator[int]:
    """Greets one visitor: its port."""

    def greet() -> None:
        try:
            visitor, _ = listening.accept()
            with visitor, context.wrap_socket(visitor, True) if context else visitor as spoken:
                spoken.sendall(b"welcome, stranger")
        except OSError:  # refused
            return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        greeter = threading.Thread(target=greet)
        greeter.start()
        yield listening.getsockname()[1]
        greeter.join()


def tls(place: Place) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place.store / store.CERTIFICATE, place.store / store.KEY)
    return context


def test_a_port_that_asks_for_the_certificate_is_closed(place: Place) -> None:
    context = tls(place)
    context.load_verify_locations(place.store / store.CERTIFICATE)
    context.verify_mode = ssl.CERT_REQUIRED
    with server(context) as port:
        assert store.ajar(place, port) is None


def test_a_port_that_asks_for_none_is_open(place: Place) -> None:
    with server(tls(place)) as port:
        assert store.ajar(place, port) == f"port {port} serves a client without a certificate"


def test_a_port_of_somebody_else_is_not_the_stores(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    prepare(other, Ports())
    store.configure(other)
    for context in (None, tls(other)):
        with server(context) as port:
            assert f"port {port} is not of this store: " in str(store.ajar(place, port))


def test_a_port_where_nobody_listens(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert store.ajar(place, port) == f"port {port}: [Errno 111] Connection refused"


class Shelf:
    """A client of S3 with objects of a bucket: key and year."""

    def __init__(self, *found: tuple[str, int]) -> None:
        self.found = found

    def list_buckets(self) -> dict[str, Any]:
        return {"Buckets": [{"Name": "recap"}]}

    def get_paginator(self, name: str) -> Shelf:
        return self

    def paginate(self, Bucket: str) -> list[dict[str, Any]]:
        listed = [{"Key": k, "LastModified": datetime(y, 1, 1, tzinfo=UTC)} for k, y in self.found]
        return [{"Contents": listed}, {}]

    def download_file(self, bucket: str, key: str, path: str, Config: object) -> None:
        Path(path).write_text(f"{bucket} {key}")


def test_a_backup_takes_what_was_there_when_it_began(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(("dvc/files/md5/aa/1", 2001), ("dvc/files/md5/ab/2.dir", 2999), ("top", 2002))
    monkeypatch.setattr(store, "connect", lambda place: shelf)
    store.dump(place, tmp_path / "copy")
    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in copied} == {
        "copy/recap/dvc/files/md5/aa/1": "recap dvc/files/md5/aa/1",
        "copy/recap/top": "recap top",
    }


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", "a/", "./a"])
def test_a_key_that_is_no_path_is_named(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr(store, "connect", lambda place: Shelf((key, 2001)))
    with pytest.raises(DataError, match="Expected keys that are paths"):
        store.dump(place, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_secrets_that_exist_stay(place: Place) -> None:
    file = place.root / "secrets.json"
    before = json.loads(file.read_bytes())
    file.write_text(json.dumps({k: v for k, v in before.items() if not k.startswith("store_")}))
    prepare(place, Ports())
    after = json.loads(file.read_bytes())
    assert {k: after[k] for k in before if not k.startswith("store_")} == {
        k: before[k] for k in before if not k.startswith("store_")
    }
    assert len(after["store_key"]) == 32 and after["store_key"] != before["store_key"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_socket_of_another_user_in_the_way_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    def unlink(path: Path, missing_ok: bool) -> None:
        removed.append(str(path))
        if "volume" in path.name:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(ServiceError, match=r"seaweedfs-volume-grpc-8338.sock, but another user"):
        store.remove_sockets(place)
    assert removed == [
        "/tmp/seaweedfs-s3-grpc-8334.sock",
        "/tmp/seaweedfs-filer-grpc-8336.sock",
        "/tmp/seaweedfs-volume-grpc-8338.sock",
    ]
