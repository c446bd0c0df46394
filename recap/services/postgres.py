"""PostgreSQL of the machine's own package: a cluster, its databases, dumps.

It refuses to run as root: root's services run it as the user that the package makes. Leaves out
settings beyond the package's: whoever needs them has a server of their own.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil

from recap.errors import ServiceError
from recap.services.place import DATABASES, HOST, OWNER, ROLE, Place, write_private
from recap.services.processes import start

PACKAGE_USER = "postgres"
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps each version's programs; not in PATH."""
REAPING = 60.0
"""Seconds to wait for a killed server to leave the table of processes; init may take a while."""


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs; raises ServiceError where there is none."""
    newest = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = str(newest[-1]) if newest else shutil.which(name)
    if found is None:
        raise ServiceError(
            f"Expected PostgreSQL's program {name}, found none. Install the system's package, e.g. "
            "`apt-get install postgresql`."
        )
    return found


def server_user() -> str | None:
    """Who runs the server: root's is another's; ``None`` means whoever calls."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(PACKAGE_USER).pw_name
    except KeyError as error:
        raise ServiceError(
            f"Expected a user {PACKAGE_USER}, for PostgreSQL refuses root, found none. The package "
            "of the system makes it; or run as a user who is not root."
        ) from error


def make_cluster(place: Place) -> None:
    """A cluster with passwords where there is none; a half-made one is made again."""
    user, part = server_user(), place.cluster.with_name("postgres.part")
    if place.cluster.is_dir():
        return
    shutil.rmtree(part, ignore_errors=True)
    secret = place.root / "owner.part"
    write_private(secret, place.secrets().owner)
    part.mkdir(mode=0o700)
    if user:
        shutil.chown(part, user, user)
        shutil.chown(secret, user)
    try:
        _run(
            [
                *(program("initdb"), "--pgdata", str(part), "--username", OWNER),
                *("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8"),
                *("--locale=C.UTF-8", "--no-instructions"),
            ],
            place,
            user=user,
        )
    finally:
        secret.unlink()
    part.rename(place.cluster)


def start_server(place: Place) -> None:
    """Start it on 127.0.0.1 alone, with no socket in the file system."""
    options = {
        "listen_addresses": HOST,
        "port": place.ports().postgres,
        "unix_socket_directories": "",
    }
    _await_reaping(place)
    command = [program("postgres"), "-D", str(place.cluster)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    start(place, "postgres", command, env={}, folder=place.cluster, user=server_user())


def _await_reaping(place: Place) -> None:
    """Wait for the end of a killed server that its parent has not yet taken note of.

    Until then PostgreSQL takes it for another server on the same data.
    """
    file, deadline = place.cluster / "postmaster.pid", time.monotonic() + REAPING
    if not file.is_file():
        return
    pid = int(file.read_text(encoding="utf-8").split()[0])
    with contextlib.suppress(psutil.NoSuchProcess):
        killed = psutil.Process(pid)
        while killed.status() == psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.1)


def make_databases(place: Place) -> None:
    """The role of the servers and their databases, where they are not there yet."""
    password = place.secrets().role
    assert re.fullmatch(r"[\w-]+", password)  # ours: nothing to quote
    sql = f"""
        SET log_min_error_statement = panic;  -- no statement with a password in the log
        SELECT 'CREATE ROLE {ROLE} LOGIN'
            WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') \\gexec
        ALTER ROLE {ROLE} PASSWORD '{password}';
    """
    for name in DATABASES:
        sql += f"""
        SELECT 'CREATE DATABASE {name} OWNER {ROLE}'
            WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
        """
    run_sql(place, OWNER, "postgres", sql)


def run_sql(place: Place, role: str, database: str, sql: str) -> str:
    """What psql answers, a line for each row; raises ServiceError when it fails."""
    command = [program("psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"]
    return _run([*command, *_as(place, role), "-d", database], place, text=sql)


def dump(place: Place, database: str, file: Path) -> None:
    """A consistent copy of a database, while it is in use."""
    _run(
        [program("pg_dump"), "-w", "-Fc", *_as(place, OWNER), "-f", str(file), "-d", database],
        place,
    )


def load(place: Place, database: str, file: Path) -> None:
    """Fill an empty database from its copy, all or nothing."""
    options = ["--single-transaction", "--no-owner", f"--role={ROLE}", "-d", database, str(file)]
    _run([program("pg_restore"), "-w", *_as(place, OWNER), *options], place)


def _as(place: Place, role: str) -> list[str]:
    return ["-h", HOST, "-p", str(place.ports().postgres), "-U", role]


def _run(command: list[str], place: Place, *, text: str = "", user: str | None = None) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    done = subprocess.run(
        command,
        input=text,
        cwd=place.root,
        env={**env, "PGPASSFILE": str(place.passwords), "PGCONNECT_TIMEOUT": "10"},
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    if done.returncode != 0:
        why = " ".join(done.stderr.split())[-500:]
        hint = (
            f" The user {user} has to be able to reach {place.root}: choose a --folder below "
            "folders that others may enter."
            if user and "denied" in why
            else ""
        )
        raise ServiceError(
            f"Expected {Path(command[0]).name} to succeed, got exit code {done.returncode}: "
            f"{why}{hint}"
        )
    return done.stdout.strip()
