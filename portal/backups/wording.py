"""What backups are called on the pages: how far each can be trusted, how large it is."""

from domain.backups.manifest import BackupType, Manifest
from domain.backups.standing import State
from portal.wording import Look

STATES = {
    State.VERIFIED: Look("Verified", "success", "shield-check"),
    State.UNVERIFIED: Look("Not verified", "warning", "circle-dashed"),
    State.DAMAGED: Look("Damaged", "danger", "shield-alert"),
    State.CUT_OFF: Look("Cut off", "danger", "shield-alert"),
}
MEANINGS = {
    State.VERIFIED: "It was put together again from what is stored, with all that it stands on.",
    State.UNVERIFIED: "Nobody knows whether it can be put together again: verify it.",
    State.DAMAGED: "It cannot be restored. Restore another one, and make a new one now.",
    State.CUT_OFF: "It is whole itself, but what it stands on is damaged, not verified or gone: it cannot be restored.",
}
TYPES = {BackupType.FULL: "Full", BackupType.INCREMENTAL: "Incremental"}
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def type_words(manifest: Manifest) -> str:
    if manifest.type is manifest.effective_type:
        return TYPES[manifest.type]
    return f"{TYPES[manifest.effective_type]}, {TYPES[manifest.type].lower()} asked for"
