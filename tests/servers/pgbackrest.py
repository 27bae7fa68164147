"""A PostgreSQL cluster that archives its log into a pgBackRest repository of its own, all of it in one folder.

It is set up as scripts/setup-pgbackrest says.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.postgres import Postgres
from tests.servers.tools import program

SETUP = Path(__file__).parent.parent.parent / "scripts/setup-pgbackrest"
SETTINGS = ("max_connections=100", "shared_buffers=64MB", "fsync=off")
STANZA = "portal"
QUICKLY = "compress-level=1\njob-retry=0\nlog-level-file=off\n"


class ArchivedPostgres(Postgres):
    """`with ArchivedPostgres() as server: server.config`; the stanza is made. Its databases belong to a role that may do no more than
    make some: `server.role`."""

    role = "portal"

    def __init__(self, settings: tuple[str, ...] = SETTINGS):
        if program("pgbackrest") is None:
            raise FileNotFoundError("No pgBackRest here: apt-get install pgbackrest")
        super().__init__(settings=settings, initdb=["--data-checksums"])

    @property
    def config(self) -> Path:
        return self.folder / "pgbackrest.conf"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def start(self) -> None:
        super().start()
        if not self.config.exists():
            self.set_up()

    def set_up(self) -> None:
        into = self.folder / "setup"
        where = ["--pgdata", self.folder / "data", "--socket", self.folder, "--repository", self.repository]
        command = [sys.executable, SETUP, "local", *where, "--stanza", STANZA, "--config-folder", self.folder, "--into", into]
        subprocess.run(command, check=True, capture_output=True)
        own = f"[global]\n{QUICKLY}lock-path={self.folder}/lock\n"
        self.config.write_text((into / "pgbackrest.conf").read_text().replace("[global]\n", own))
        shutil.chown(self.config, self._owner.pw_uid, self._owner.pw_gid)
        self.config.chmod(0o600)
        for statement in (into / "setup.sql").read_text().split(";\n"):
            if statement.strip():
                self.execute(statement)
        self.execute(f"CREATE ROLE {self.role} LOGIN CREATEDB IN ROLE pg_signal_backend")
        self.stop()
        super().start()
        self.pgbackrest("stanza-create")

    def own_database(self, name: str) -> str:
        """The URL of a new database of the role's own."""
        self.execute(f'CREATE DATABASE "{name}" OWNER {self.role} TEMPLATE template0')
        return self.url(name).replace("//postgres@", f"//{self.role}@")

    def pgbackrest(self, verb: str, *options: str) -> str:
        command = ["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}", *options, verb]
        return subprocess.run(command, check=True, capture_output=True, text=True, **self._as_owner()).stdout
