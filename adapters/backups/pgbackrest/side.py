"""A PostgreSQL server of our own on a restored data directory: nobody else can reach it, and it never outlives the operation."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from adapters.backups.pgbackrest.programs import TO_END, Programs, wait_for_end
from adapters.backups.postgres import connected
from domain.backups.errors import BackupCorrupt, EngineUnavailable

DATA = "side"
PORT = "5432"
RECOVERY = ("restore_command", "recovery_")
NOT_YET = "the database system is"  # starting up, or not yet accepting connections: so it answers who asks too early
SETTINGS = """\
# Nothing of the live server's settings: another address, no archive, nothing that must survive a crash.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
hba_file = '{data}/side_hba.conf'
hot_standby = off
archive_mode = off
wal_level = minimal
max_wal_senders = 0
max_connections = 20
max_prepared_transactions = 100
max_logical_replication_workers = 0
autovacuum = off
fsync = off
full_page_writes = off
ssl = off
shared_buffers = 128MB
maintenance_work_mem = 128MB
max_wal_size = 4GB
logging_collector = off
log_destination = stderr
"""


class RecoveryEnded(Exception):
    """The archive ended before the moment that was asked for."""


def server_programs(major: int) -> Path:
    """The folder of that PostgreSQL's server programs; Debian keeps them off the PATH."""
    on_path = shutil.which("postgres")
    folders = [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")]
    folders += [Path(on_path).resolve().parent] if on_path else []
    for folder in folders:
        if (folder / "postgres").exists() and major_of(folder) == major:
            return folder
    raise EngineUnavailable(
        f"The server programs of PostgreSQL {major} are not on this machine, and backups are put to the test with them: "
        f"apt-get install postgresql-{major}"
    )


def major_of(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)", said)
    return int(match[1]) if match else 0


class Side:
    """The data directory of a side instance inside a folder of ours, and the server on it."""

    def __init__(self, programs: Programs, folder: Path, superuser: str):
        self.programs, self.superuser = programs, superuser
        self.data, self.tablespaces, self.log = folder / DATA, folder / f"{DATA}.tablespaces", folder / f"{DATA}.log"

    def prepare(self) -> Path:
        """An empty data directory, and a place for tablespaces: where they say they are is the live server's."""
        self.programs.account.let_through(self.data.parent.parent)
        self.programs.account.let_through(self.data.parent)
        for folder in (self.data, self.tablespaces):
            folder.mkdir(mode=0o700)
            self.programs.account.own(folder)
        return self.data

    @contextmanager
    def server(self, bin_folder: Path, tick: Callable[[], None]) -> Iterator[URL]:
        """Recover to the target that was restored for; begins when the database can be written. Raises RecoveryEnded or BackupCorrupt."""
        with socket_folder(self.programs) as socket:
            self.configure(socket)
            with self.log.open("ab") as output:
                process = self.programs.start(
                    [bin_folder / "postgres", "-D", self.data, "-c", f"config_file={self.data}/side.conf"], stdout=output, stderr=output
                )
            try:
                url = URL.create("postgresql+psycopg2", self.superuser, database="template1", query={"host": str(socket), "port": PORT})
                while not answers(url):
                    tick()
                    if process.poll() is not None:
                        raise self.failure()
                yield url
            finally:
                end(process.pid)
                process.wait(TO_END)

    def configure(self, socket: Path) -> None:
        """Only what pgBackRest wrote of the recovery stays of the settings that came with the data."""
        carried = self.data / "postgresql.auto.conf"
        lines = [line for line in carried.read_text().splitlines() if line.startswith(RECOVERY)]
        files = {
            carried: "\n".join(lines) + "\n",
            self.data / "side.conf": SETTINGS.format(port=PORT, socket=socket, data=self.data),
            self.data / "side_hba.conf": "local all all trust\n",
        }
        for file, words in files.items():
            file.write_text(words)
            self.programs.account.own(file)

    def remove(self) -> None:
        for folder in (self.data, self.tablespaces):
            shutil.rmtree(folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def failure(self) -> Exception:
        said = self.log.read_text(errors="replace")
        fatals = (line for line in said.splitlines() if ("FATAL:" in line or "PANIC:" in line) and NOT_YET not in line)
        fatal = next(fatals, "it ended without a word")
        if "recovery ended before configured recovery target was reached" in said:
            return RecoveryEnded()
        if "No space left on device" in said:
            return OSError(28, os.strerror(28))
        return BackupCorrupt(f"A server on the restored data does not start: {fatal.partition('FATAL:')[2].strip() or fatal}")


@contextmanager
def socket_folder(programs: Programs) -> Iterator[Path]:
    """For the socket alone: the path of one may have 107 bytes, and that of BACKUP_DIR may be longer."""
    folder = Path(tempfile.mkdtemp(prefix=socket_prefix(programs.folder)))
    programs.account.own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def socket_prefix(folder: Path) -> str:
    return f"portal-{blake2b(str(folder).encode(), digest_size=6).hexdigest()}-"


def answers(url: URL) -> bool:
    try:
        with connected(url) as connection:
            return connection.execute(text("SELECT NOT pg_is_in_recovery()")).scalar_one() is True
    except OperationalError:
        return False


def end(pid: int) -> None:
    """Its children end by themselves; each is the leader of a session of its own, so no group has them all."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait_for_end(pid):
            return


def end_rests(programs: Programs, unfinished: Iterable[Path]) -> None:
    """Stop the servers on data directories in these folders, and remove the folders of their sockets."""
    for folder in unfinished:
        with suppress(OSError, ValueError, IndexError):
            pid = int((folder / DATA / "postmaster.pid").read_text().splitlines()[0])
            if Path(f"/proc/{pid}/cwd").resolve() == (folder / DATA).resolve():
                end(pid)
    for folder in Path(tempfile.gettempdir()).glob(f"{socket_prefix(programs.folder)}*"):
        facts = folder.lstat()
        ours = (os.geteuid(), programs.account.entry.pw_uid if programs.account.entry else os.geteuid())
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid in ours:
            shutil.rmtree(folder, ignore_errors=True)
