"""A PostgreSQL cluster that archives its log into a pgBackRest repository of its own, all of it in one folder."""

import os
import subprocess
from pathlib import Path

from tests.servers.postgres import Postgres
from tests.servers.tools import program

SETTINGS = ("max_connections=100", "shared_buffers=64MB", "archive_mode=on", "wal_level=replica", "fsync=off")
STANZA = "portal"
CONFIG = """\
[global]
repo1-path={folder}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={passphrase}
repo1-bundle=y
compress-type=zst
compress-level=1
process-max=2
job-retry=0
lock-path={folder}/lock
log-path={folder}/log-of-pgbackrest
log-level-file=off
[portal]
pg1-path={folder}/data
pg1-socket-path={folder}
pg1-user=postgres
"""


class ArchivedPostgres(Postgres):
    """`with ArchivedPostgres() as server: server.config, server.owner`; the stanza is made."""

    def __init__(self, passphrase: str = "of the tests alone", settings: tuple[str, ...] = SETTINGS):
        if program("pgbackrest") is None:
            raise FileNotFoundError("No pgBackRest here: apt-get install pgbackrest")
        super().__init__(settings=settings, initdb=["--data-checksums"])
        self.passphrase = passphrase

    @property
    def owner(self) -> str:
        return self._owner.pw_name

    @property
    def config(self) -> Path:
        return self.folder / "pgbackrest.conf"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def start(self) -> None:
        fresh = not self.config.exists()
        if fresh:
            self.config.write_text(CONFIG.format(folder=self.folder, passphrase=self.passphrase))
            self._settings = (*self._settings, f"archive_command=pgbackrest --config={self.config} --stanza={STANZA} archive-push %p")
        super().start()
        if fresh:
            self.pgbackrest("stanza-create")

    def pgbackrest(self, verb: str, *options: str) -> str:
        command = ["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}", *options, verb]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ), **self._as_owner()).stdout

    def own_folder(self, name: str) -> Path:
        """A folder that the server's user reaches as well."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder
