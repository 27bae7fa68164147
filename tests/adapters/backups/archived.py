"""What the tests of backups by pgBackRest share: a portal's database on a cluster with a repository, and what can be done with it."""

import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

import migrations
from adapters.backups.pgbackrest import PgBackRestVault
from adapters.backups.pgbackrest.programs import OPERATION
from adapters.backups.pgbackrest.side import socket_prefix
from domain import audit
from domain.access import SYSTEM
from domain.db import driver_url
from tests.adapters.backups.conftest import new_key, silent
from tests.factories import make_refund
from tests.servers.pgbackrest import STANZA

NUMBERS = count(1)


class Archived:
    """A portal's database on the cluster, with a refund, an entry in the log, and a table of markers."""

    def __init__(self, server):
        self.server = server
        self.key_file = server.folder / f"backup-{next(NUMBERS)}.key"
        self.key = new_key(server.folder, self.key_file.name)
        self.url = server.own_database(f"Portal {next(NUMBERS)}")
        with server.connect(make_url(self.url).database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION pg_stat_statements")  # as in nearly every database there is; the portal's role could not
        migrations.upgrade(self.url)
        self.engine = create_engine(driver_url(self.url), poolclass=NullPool)  # some tests end every connection there is
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE markers (name text PRIMARY KEY)"))
        with Session(self.engine) as session:
            make_refund(session)
            audit.record(session, SYSTEM, "test.happened")
            session.commit()

    def new_vault(self, folder=None, **settings):
        """In a folder of its own; the repository is everybody's."""
        folder = folder or self.server.folder / f"backups-{next(NUMBERS)}"
        return PgBackRestVault(folder, self.key, "1.2.3", self.url, **{"stanza": STANZA, "config": self.server.config} | settings)

    def mark(self, name):
        """Commit a row of that name; answers a moment after it and before whatever comes next."""
        with self.engine.begin() as connection:
            connection.execute(text("INSERT INTO markers VALUES (:name)"), {"name": name})
        with self.engine.begin() as connection:
            return connection.execute(text("SELECT clock_timestamp()")).scalar_one()

    def markers(self):
        with self.engine.connect() as connection:
            return set(connection.execute(text("SELECT name FROM markers")).scalars())

    def staged(self, vault, manifest, moment=None):
        """The markers in the backup as of the moment, staged in a database that is dropped again, and the moment that it says."""
        url = self.server.own_database(f"staged_{next(NUMBERS)}")
        reached = vault.stage(manifest, moment, url, silent)
        engine = create_engine(driver_url(url))
        with engine.connect() as connection:
            found = set(connection.execute(text("SELECT name FROM markers")).scalars())
        engine.dispose()
        self.server.drop_database(url)
        return found, reached

    def close(self):
        self.engine.dispose()
        self.server.drop_database(self.url)


def newest_piece(server):
    return max(server.repository.glob("archive/*/*/*/" + "[0-9A-F]" * 24 + "-*"), key=lambda file: file.name)


def labels(vault):
    return [each.label for each in vault.repository.contents().backups]


def rests(vault):
    """What an operation left: folders, processes with the folder in their environment or at work in it, and folders of sockets."""
    found = [path.name for path in vault.folder.iterdir() if "unfinished" in path.name]
    mark = f"{OPERATION}={vault.folder}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes() or (process / "cwd").resolve().is_relative_to(vault.folder):
                found.append(process.name)
    return found + [path.name for path in Path(tempfile.gettempdir()).glob(f"{socket_prefix(vault.folder)}*")]


class StopHere(Exception):
    pass


def stopping_at(wanted):
    def told(percent, stage):
        if stage == wanted:
            raise StopHere

    return told
