"""What a terminal is shown of backups."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from domain.backups.commands import summary
from domain.backups.manifest import Manifest
from domain.backups.vault import Finding, Part, Progress, Vault


@contextmanager
def progress_bar(label: str, quiet: bool) -> Iterator[Progress]:
    """On a terminal a bar with the stage beside it; elsewhere nothing."""
    with click.progressbar(length=100, label=label, file=sys.stderr, hidden=quiet or not sys.stderr.isatty(), item_show_func=str) as bar:
        shown = 0

        def told(percent: float, stage: str) -> None:
            nonlocal shown
            if int(percent) > shown:
                bar.update(int(percent) - shown, stage)
                shown = int(percent)

        yield told
        bar.update(100 - shown, "")


def facts(manifest: Manifest) -> dict[str, Any]:
    return summary(manifest) | {
        "id": str(manifest.id),
        "description": manifest.description,
        "created_by": manifest.created_by,
        "parent_id": manifest.parent_id and str(manifest.parent_id),
        "duration_seconds": round(manifest.duration_seconds, 1),
        "schema_revision": manifest.schema_revision,
    }


def of_uploads(kept: dict[str, Any]) -> str:
    how = "noted by their versions in the bucket" if kept["kind"] == "versions" else f"{size(kept['stored_bytes'])} stored for them"
    said = f"Stored files: {kept['count']:,} ({size(kept['bytes'])}), new: {kept['new_count']:,}, {how}."
    reasons = {
        "vanished": "Removed before they could be read",
        "torn": "Changed whenever they were read, so perhaps half of one moment and half of another",
        "skipped": "Links and the like, which are not kept",
    }
    return "\n".join([said, *(f"{reason}: {kept[name]:,}." for name, reason in reasons.items() if kept[name])])


def on_disk(vault: Vault) -> dict[str, int]:
    """How many bytes each part of BACKUP_DIR takes up."""
    found = dict.fromkeys(map(str, Part), 0)
    for part, size in vault.sizes():
        found[part] += size
    return found


def line(finding: Finding) -> str:
    word = "ok" if finding.ok else "warn"
    return f"{word:<6}{finding.name:<15}{finding.found}" + (f"\n{'':21}{finding.advice}" if finding.advice and not finding.ok else "")


def size(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
