"""A PostgreSQL cluster that archives its log into a pgBackRest repository of its own, all of it in one folder.

It is set up as scripts/setup-pgbackrest says.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.postgres import Postgres
from tests.servers.processes import Process, free_port
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
    def archive_command(self) -> str:
        return f"pgbackrest --config={self.config} --stanza={STANZA} archive-push %p"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def start(self) -> None:
        super().start()
        if not self.config.exists():
            self.set_up()

    def set_up(self) -> None:
        self.write_setup("local", self.folder)
        self.place(self.folder / "setup/pgbackrest.conf", self.config)
        for statement in (self.folder / "setup/setup.sql").read_text().split(";\n"):
            if statement.strip():
                self.execute(statement)
        self.execute(f"CREATE ROLE {self.role} LOGIN CREATEDB IN ROLE pg_signal_backend")
        self.stop()
        super().start()
        self.pgbackrest("stanza-create")

    def write_setup(self, layout: str, config_folder: Path, *options: str | Path) -> None:
        where = ["--pgdata", self.folder / "data", "--socket", self.folder, "--repository", self.repository]
        places = ["--config-folder", config_folder, "--into", self.folder / "setup"]
        command = [sys.executable, SETUP, layout, *where, "--stanza", STANZA, *places, *options]
        subprocess.run(command, check=True, capture_output=True)

    def place(self, file: Path, target: Path) -> None:
        """Where its administrator would put it; nothing of it outside our folder."""
        words = file.read_text()
        if file.suffix == ".conf":
            side = target.parent.name if target.parent != self.folder else "alone"
            words = re.sub(r"(?m)^(lock|spool)-path=.*\n|^log-level-file=.*\n", "", words)
            words = words.replace(
                "[global]\n", f"[global]\n{QUICKLY}lock-path={self.folder}/lock-{side}\nspool-path={self.folder}/spool-{side}\n"
            )
        target.write_text(words)
        shutil.chown(target, self._owner.pw_uid, self._owner.pw_gid)
        target.chmod(0o600)

    def own_database(self, name: str) -> str:
        """The URL of a new database of the role's own."""
        self.execute(f'CREATE DATABASE "{name}" OWNER {self.role} TEMPLATE template0')
        return self.url(name).replace("//postgres@", f"//{self.role}@")

    def pgbackrest(self, verb: str, *options: str) -> str:
        command = ["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}", *options, verb]
        return subprocess.run(command, check=True, capture_output=True, text=True, **self._as_owner()).stdout


class DistantPostgres(ArchivedPostgres):
    """The same with the repository on another machine, as far as pgBackRest can tell: all it hears goes through TLS."""

    @property
    def config(self) -> Path:
        return self.folder / "worker/pgbackrest.conf"

    @property
    def restore_config(self) -> Path:
        return self.folder / "worker/restore.conf"

    def write_setup(self, layout: str, config_folder: Path, *options: str | Path) -> None:
        ports = [str(free_port()), str(free_port())]
        hosts = ["--database-host", "127.0.0.1", "--worker-host", "localhost", "--worker-user", self._owner.pw_name]
        listening = ["--database-tls-port", ports[0], "--worker-tls-port", ports[1], "--worker-config-folder", self.folder / "worker"]
        super().write_setup("tls", self.folder / "database", *hosts, *listening)

    def place(self, file: Path, target: Path) -> None:
        for side in ("database", "worker"):
            folder = self.folder / side
            folder.mkdir(mode=0o700)
            shutil.chown(folder, self._owner.pw_uid, self._owner.pw_gid)
            for each in (self.folder / "setup" / side).iterdir():
                super().place(each, folder / each.name)
            command = ["pgbackrest", f"--config={folder}/pgbackrest.conf", "server"]
            process = Process(command, self.folder / f"log-{side}", **self._as_owner())
            self._cleanup.callback(process.stop)
