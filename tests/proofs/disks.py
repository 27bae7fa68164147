"""Folders whose disk a proof fills up, and which it puts back."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import reaper

BALLAST = "ballast"


@contextmanager
def own_disk(folder: Path, megabytes: int = 64) -> Iterator[bool]:
    """Put the folder, with what is in it, on a disk of its own for a while; answers whether that could be done, which takes root."""
    if os.geteuid() != 0:
        yield False
        return
    aside = folder.with_name(f"{folder.name}-under")
    folder.rename(aside)
    folder.mkdir()
    reaper.watch("disk", folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield True
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        reaper.forget("disk", folder)
        folder.rmdir()
        aside.rename(folder)


def fill(folder: Path, room: int) -> None:
    """Leave so much on its disk, as others might who keep something there, too."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize - room
    if free > 0:
        descriptor = os.open(folder / BALLAST, os.O_WRONLY | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, free)
        os.close(descriptor)


def free_again(folder: Path) -> None:
    (folder / BALLAST).unlink(missing_ok=True)


def put_back(folder: Path, aside: Path) -> None:
    """Make it again what it was when it was copied; the folder itself stays, since a disk may be mounted there."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(aside, folder, dirs_exist_ok=True)
