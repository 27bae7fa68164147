"""What of the archive may go: whatever no kept backup goes on from."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.backups.archive.chain import Run, position_of, runs_of
from adapters.backups.archive.store import Store
from domain.backups.manifest import Manifest


def prune(store: Store, kept: Sequence[Manifest]) -> None:
    """Of the newest generation the log that is being written stays, also where no backup stands in it yet."""
    generations = store.generations()
    for generation in generations:
        found = list(runs_of(generation))
        if begins := [origin for manifest in kept for origin in origins(manifest, found)]:
            generation.remove_before(min(begins))
        elif generation is not generations[-1]:
            generation.remove()
        elif segments := generation.segments():
            generation.remove_before(segments[-1].origin)


def origins(manifest: Manifest, found: Sequence[Run]) -> list[int]:
    position = position_of(manifest)
    return [run.origins[position.salts] for run in found if position and position.salts in run.origins]
