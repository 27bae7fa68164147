"""What `flask backup check` and `flask doctor` say of pgBackRest."""

from __future__ import annotations

from collections.abc import Container

from adapters.backups.pgbackrest.live import Server, place
from adapters.backups.pgbackrest.moments import BEHIND
from adapters.backups.pgbackrest.repository import Contents
from domain.backups.manifest import BackupType
from domain.backups.vault import Finding

PILES_UP = "See the server's own log for what archive_command says; the log piles up on its disk meanwhile"


def stanza(name: str, server: Server, stored: Contents, known: Container[str | None]) -> Finding:
    fulls = sum(1 for each in stored.backups if each.type is BackupType.FULL)
    found = f"pgBackRest, stanza {name} of PostgreSQL {server.version}: {fulls} full and {len(stored.backups) - fulls} incremental"
    strange = sum(1 for each in stored.backups if each.backup_id not in known)
    return Finding("backup engine", True, f"{found}, {strange} of them not in the catalog" if strange else found)


def archive(name: str, server: Server, stored: Contents) -> Finding:
    """The server's own figures first; then whether what it sent away arrived here."""
    newest, asked = stored.archived.get(server.system_id), f"pgbackrest --stanza={name} check"
    found, advice = f"the server archives its log; {server.waiting or 'no'} piece of it waits", ""
    if not server.archives:
        found, advice = "the server does not archive", "Set archive_mode=on and archive_command, and restart it once"
    elif server.failing or server.waiting > BEHIND:
        found, advice = f"archive_command {'fails' if server.failing else 'is slow'}: {server.waiting} pieces of the log wait", PILES_UP
    elif server.archived is None:
        found, advice = "nothing of the server's log was archived yet", f"Run {asked}, which archives some"
    elif newest is None or place(newest, server.piece_bytes) < server.archived:
        found, advice = "the log does not come to pgBackRest's repository", f"Look at archive_command, and run {asked}"
    return Finding("archive", not advice, found, advice)


def key(encrypted: bool, passphrase: str | None, age: str | None) -> Finding:
    """The passphrase is for what pgBackRest stores, the age key signs manifests and encrypts the files of the storage."""
    if not encrypted:
        return Finding("backup key", False, "backups are not encrypted", "Make a new repository with repo1-cipher-type=aes-256-cbc")
    found = f"pgBackRest encrypts with AES-256, with the passphrase {passphrase or 'that cannot be read here'}"
    if age is None:
        found += "; manifests are not signed, and files of the storage not encrypted"
        return Finding("backup key", False, found, "Make a key: flask backup key FILE, and set BACKUP_KEY_FILE")
    return Finding("backup key", True, f"{found}; the rest with age, key {age}")
