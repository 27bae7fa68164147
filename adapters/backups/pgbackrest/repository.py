"""pgBackRest itself: what it is asked, what it answers, and what its complaints mean."""

from __future__ import annotations

import bz2
import gzip
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import zstandard

from adapters.backups.pgbackrest.programs import Programs, end_group
from domain.backups.errors import BackupCorrupt, BackupKeyMismatch, EngineUnavailable, InsufficientStorage, OperationInProgress
from domain.backups.manifest import BackupType
from domain.errors import DomainError

TOOL = "pgbackrest"
ANNOTATION = "backup_id"
COMPLAINT = re.compile(r"(?:ERROR|FATAL|WARN): (?:\[(\d+)\]: )?(.*)")
PERCENT = re.compile(r"\(.*?([\d.]+)%\)")
WRONG_KEY = ("outside of section", "cipher header invalid", "unable to flush")
DAMAGE = re.compile(r"^ +(?:backup|archiveId): ([^,]+), (.*)$(\n {4}(.*)$)?", re.MULTILINE)
PIECE = re.compile(r"(?:^|/)([0-9A-F]{24})(?:-[0-9a-f]{40})?(?:\.(?:gz|bz2|zst|lz4))?$")
ANOTHER_PASSPHRASE = "pgBackRest's passphrase is not the one that the repository was made with: correct repo1-cipher-pass."
ANSWERS_WITHIN = 30.0
UNLOCKED = 50
DAMAGED = (26, 27, 28, 29, 39, 55, 75, 95)  # checksum, format, file missing, set invalid, cannot be deciphered
UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".zst": lambda packed: zstandard.ZstdDecompressor().decompressobj().decompress(packed),
}


@dataclass(frozen=True)
class Stored:
    """A backup as the repository has it; `start` and `stop` are the pieces of the log that make it consistent."""

    label: str
    type: BackupType
    prior: str | None
    backup_id: str | None
    archive_id: str
    system_id: str
    major: int
    start: str
    stop: str
    bytes: int
    cluster_bytes: int
    damaged: bool


@dataclass(frozen=True)
class Piece:
    """One file of the write-ahead log, as it is named in the archive."""

    path: str
    name: str  # 24 hexadecimal digits: time line, and place


@dataclass(frozen=True)
class Contents:
    encrypted: bool
    backups: Sequence[Stored]  # oldest first
    archived: Mapping[str, str]  # the newest piece of the log that came, by the cluster's system identifier

    def labelled(self, label: str) -> Stored | None:
        return next((each for each in self.backups if each.label == label), None)

    def made_for(self, backup_id: UUID) -> Stored | None:
        return next((each for each in self.backups if each.backup_id == str(backup_id)), None)


class Repository:
    def __init__(self, programs: Programs, stanza: str, config: Path | None, restore_config: Path | None):
        self.programs, self.stanza = programs, stanza
        self.config, self.restore_config = config, restore_config or config

    def contents(self) -> Contents:
        """Raises EngineUnavailable or BackupKeyMismatch."""
        [stanza] = read_json(self.ask("info", "--output=json")) or [{}]
        self.check_status(stanza)
        clusters = {each["id"]: (str(each["system-id"]), each["version"]) for each in stanza["db"]}
        archives = {each["database"]["id"]: each["id"] for each in stanza["archive"]}
        return Contents(
            encrypted=stanza["cipher"] != "none",
            backups=[stored(each, archives, clusters) for each in stanza["backup"]],
            archived={clusters[each["database"]["id"]][0]: each["max"] for each in stanza["archive"] if each["max"]},
        )

    def check_status(self, stanza: dict[str, Any]) -> None:
        status, repositories = stanza.get("status", {}), stanza.get("repo", [])
        if status.get("code") in (0, 2):  # all is well; there is no backup yet
            return
        said = next((each["status"]["message"] for each in repositories if each["status"]["code"]), status.get("message", "nothing"))
        reason = first_line(said)
        if any(words in said for words in WRONG_KEY):
            raise BackupKeyMismatch(ANOTHER_PASSPHRASE)
        raise EngineUnavailable(f"pgBackRest cannot use the stanza {self.stanza} ({reason}). Was `pgbackrest stanza-create` run?")

    def pieces(self, archive_id: str) -> Sequence[Piece]:
        """What the archive holds of the write-ahead log, in its order."""
        listed = read_json(self.ask("repo-ls", "--recurse", "--output=json", f"archive/{self.stanza}/{archive_id}", stanza=False))
        names = (name for name, facts in listed.items() if facts["type"] == "file")
        found = [Piece(f"archive/{self.stanza}/{archive_id}/{name}", match[1]) for name in names if (match := PIECE.search(name))]
        return sorted(found, key=lambda piece: piece.name[8:] + piece.name[:8])

    def read(self, piece: Piece) -> bytes | None:
        """What is in it; None where it is packed in a way that only pgBackRest unpacks."""
        unpack = UNPACK.get(Path(piece.path).suffix if "." in piece.path.rsplit("/", 1)[-1] else "")
        if unpack is None:
            return None
        with tempfile.TemporaryFile() as file:
            process = self.programs.start(self.command("repo-get", piece.path, stanza=False), stdout=file)
            if process.wait() != 0:
                raise BackupCorrupt(f"{piece.name} cannot be read from the archive.", file=piece.name)
            file.seek(0)
            return unpack(file.read())

    def back_up(self, kind: BackupType, backup_id: UUID, told: Callable[[float], None]) -> None:
        """`told` hears per cent, often."""
        percent = 0.0

        def tick(line: str) -> None:
            nonlocal percent
            if "backup file" in line and (match := PERCENT.search(line)):
                percent = float(match[1])
            told(percent)

        name = "full" if kind is BackupType.FULL else "incr"
        options = [f"--type={name}", f"--annotation={ANNOTATION}={backup_id}", "--no-expire-auto", "--start-fast"]
        self.act("backup", *options, "--log-level-console=detail", tick=tick)

    def check(self, seconds: float, tick: Callable[[str], None] = lambda line: None) -> None:
        """That the server archives: a piece of the log is ended, and has come here within so many seconds. Else EngineUnavailable."""
        self.act("check", f"--archive-timeout={seconds:g}", tick=tick, operation=False)

    def verify(self, tick: Callable[[str], None]) -> Mapping[str, str]:
        """Read all that is stored; answers what is wrong, by the label of a backup or the name of an archive.

        pgBackRest ends with 0 whatever it finds: only what it says tells.
        """
        said = self.act("verify", "--output=text", tick=tick)
        found = {}
        for about, rest, _, details in DAMAGE.findall(said):
            whole = re.search(r"checked: (\d+), total valid \w+: (\d+)", rest)
            if "status: invalid" in rest or (whole is not None and whole[1] != whole[2]):
                found[about] = details.strip() or rest.strip(" ,")
        return found

    def restore(self, label: str, data: Path, target: Sequence[str], tick: Callable[[str], None]) -> None:
        places = [f"--pg1-path={data}", f"--tablespace-map-all={data}.tablespaces"]
        options = [f"--set={label}", *places, "--target-action=promote", "--archive-mode=off", *target]
        self.act("restore", *options, "--log-level-console=detail", tick=tick, config=self.restore_config)

    def expire(self, label: str) -> None:
        self.act("expire", f"--set={label}")

    def trim(self, fulls: int) -> None:
        """Remove what the archive has from before the oldest full backup."""
        self.act("expire", "--repo1-retention-full-type=count", f"--repo1-retention-full={fulls}", f"--repo1-retention-archive={fulls}")

    def act(
        self,
        verb: str,
        *options: str,
        tick: Callable[[str], None] = lambda line: None,
        config: Path | None = None,
        operation: bool = True,
    ) -> str:
        status, said = self.programs.run(self.command(verb, *options, config=config), tick, operation=operation)
        if status != 0:
            raise complaint(verb, status, said)
        return said

    def ask(self, verb: str, *options: str, stanza: bool = True) -> str:
        """Only the answer, without the warnings beside it."""
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
            process = self.programs.start(self.command(verb, *options, stanza=stanza), stdout=answer, stderr=said)
            try:
                status = process.wait(ANSWERS_WITHIN)
            except subprocess.TimeoutExpired:
                raise EngineUnavailable(f"pgbackrest {verb} did not answer within {ANSWERS_WITHIN:g} s.") from None
            finally:
                end_group(process)
            texts = [file.read().decode("utf-8", "replace") for file in (answer, said) if file.seek(0) == 0]
        if status != 0:
            raise complaint(verb, status, "\n".join(texts))
        return texts[0]

    def command(self, verb: str, *options: str, config: Path | None = None, stanza: bool = True) -> list[str]:
        where = config or self.config
        general = [*([f"--config={where}"] if where else []), *([f"--stanza={self.stanza}"] if stanza else [])]
        return [TOOL, *general, *options, verb] if verb not in ("repo-ls", "repo-get") else [TOOL, verb, *general, *options]


def read_json(words: str) -> Any:
    """With a wrong passphrase there is what comes of deciphering with it inside, whatever bytes those are."""
    return json.loads(words, strict=False)


def stored(facts: dict[str, Any], archives: Mapping[int, str], clusters: Mapping[int, tuple[str, str]]) -> Stored:
    system_id, version = clusters[facts["database"]["id"]]
    return Stored(
        label=facts["label"],
        type=BackupType.FULL if facts["type"] == "full" else BackupType.INCREMENTAL,
        prior=facts["prior"],
        backup_id=(facts.get("annotation") or {}).get(ANNOTATION),
        archive_id=archives.get(facts["database"]["id"], ""),
        system_id=system_id,
        major=int(version.split(".")[0]),
        start=facts["archive"]["start"],
        stop=facts["archive"]["stop"],
        bytes=facts["info"]["repository"]["delta"],
        cluster_bytes=facts["info"]["size"],
        damaged=bool(facts["error"]),
    )


def complaint(verb: str, status: int, said: str) -> DomainError:
    """What pgBackRest's first error means."""
    errors = [match for line in said.splitlines() if (match := COMPLAINT.search(line)) and "ERROR" in line]
    number, words = (int(errors[0][1] or status), errors[0][2]) if errors else (status, first_line(said) or f"exit {status}")
    if number == UNLOCKED:
        return OperationInProgress()
    if "No space left" in said or "quota exceeded" in said:
        return InsufficientStorage("The disk ran full, and nothing half done is left. Free some space and try again.")
    if verb == "restore" and number in DAMAGED:
        return BackupCorrupt(f"pgBackRest refuses to restore it: {words}")
    if any(mark in said for mark in WRONG_KEY):
        return BackupKeyMismatch(ANOTHER_PASSPHRASE)
    return EngineUnavailable(f"pgbackrest {verb} failed: {words[:300]}")


def first_line(said: str) -> str:
    return next((line.strip() for line in said.splitlines() if line.strip()), "")[:300]
