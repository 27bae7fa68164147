"""One backup: how far it can be trusted, what is in it, what it stands on, and how to open it without the portal."""

from typing import Any

from flask import g, url_for

from domain.access import Permission
from domain.audit.queries import list_for_object
from domain.backups.manifest import Manifest
from domain.backups.queries import find_coverage
from domain.backups.standing import Standing, State, find_standing, reachable_until
from portal import timelines
from portal.backups import wording
from portal.backups.listing import line, operation_context
from portal.formats import number, when
from portal.jobs.wording import size, span
from web.backups import vault
from web.db import db

OBJECT = "backups"
ODD = {"vanished": "removed meanwhile", "torn": "changed while they were read", "skipped": "links left out"}
OPENERS = {
    "database": "> portal.db",
    "dump": "| pg_restore --no-owner --no-acl --exit-on-error -d portal",
}
"""What a full backup's file becomes when it is opened by hand, by its name."""


def context(manifest: Manifest) -> dict[str, Any]:
    standing = find_standing(vault())
    state = standing.states[manifest.id]
    return {
        **operation_context(),
        "backup": manifest,
        "line": line(manifest, standing),
        "state": state,
        "meaning": wording.MEANINGS[state],
        "reaches": reaches(manifest, state),
        "facts": facts(manifest),
        "chain": [line(each, standing) for each in standing.chain(manifest)] if manifest.parent_id else [],
        "gone": gone(manifest, standing),
        "standing_on_it": sum(1 for each in standing.manifests if each.parent_id == manifest.id),
        "files": [{"name": file.name, "size": size(file.bytes), "sha256": file.sha256} for file in manifest.files],
        "rows": sorted(((name, count) for name, count in manifest.row_counts.items() if count), key=lambda row: -row[1]),
        "empty": sorted(name for name, count in manifest.row_counts.items() if not count),
        "audit_head": f"{manifest.audit_sequence}:{manifest.audit_hash}",
        "by_hand": by_hand(manifest),
        "job_url": job_url(manifest),
        "timeline": timelines.timeline(list_for_object(db.session(), OBJECT, manifest.id)) if g.actor.can(Permission.AUDIT_LIST) else [],
        "now_url": url_for("portal.backups.now_one", backup_id=manifest.id),
    }


def reaches(manifest: Manifest, state: State) -> str:
    coverage = find_coverage(vault())
    until = reachable_until(coverage.spans or (), manifest)
    if coverage.reason:
        return f"It cannot be told now: {coverage.reason}"
    if state is not State.VERIFIED or until is None:
        return "Nothing, as it is"
    if until == manifest.snapshot_at:
        return "Its own moment"
    return f"Each moment from its own to {when(until)}"


def facts(manifest: Manifest) -> list[tuple[str, str]]:
    saved = f", {100 * manifest.stored_bytes / manifest.database_bytes:.0f} % of the database" if manifest.database_bytes else ""
    return [
        ("Type", wording.type_words(manifest)),
        ("Took", span(manifest.finished_at - manifest.started_at)),
        ("Stored", f"{size(manifest.stored_bytes)}{saved}"),
        ("Database", f"{wording.ENGINES[manifest.engine]} {manifest.engine_version}, {size(manifest.database_bytes)}"),
        ("Schema", f"Revision {manifest.schema_revision}, portal {manifest.app_version}"),
        ("Encrypted", f"With age, key {manifest.key_fingerprint}" if manifest.encrypted else "No"),
        ("Files", files_words(manifest.uploads)),
        ("Made by", manifest.created_by),
    ]


def files_words(uploads: dict[str, Any] | None) -> str:
    """What of the storage is in it."""
    if uploads is None:
        return "None of the storage"
    kept = "Versions of" if uploads["kind"] == "versions" else "Copies of"
    odd = [f"{number(uploads[name])} {word}" for name, word in ODD.items() if uploads.get(name)]
    return ", ".join([f"{kept} {number(uploads['count'])} files, {size(uploads['bytes'])}", *odd])


def gone(manifest: Manifest, standing: Standing) -> str | None:
    """The id of what the chain would begin with and does not."""
    beginning = standing.chain(manifest)[0]
    return str(beginning.parent_id) if beginning.parent_id else None


def by_hand(manifest: Manifest) -> str | None:
    """The command that opens a full backup without anything of the portal; None where there is none."""
    for file in manifest.files:
        end = OPENERS.get(file.name.split(".", 1)[0])
        if end is not None and not manifest.parent_id:
            path = f"BACKUP_DIR/{manifest.id}/{file.name}"
            plain = f"age -d -i backup.key {path} | zstd -d" if manifest.encrypted else f"zstd -dc {path}"
            return f"{plain} {end}"
    return None


def job_url(manifest: Manifest) -> str | None:
    if manifest.job_id is None or not g.actor.can(Permission.JOBS_LIST_ALL):
        return None
    return url_for("portal.jobs.show", job_id=manifest.job_id)
