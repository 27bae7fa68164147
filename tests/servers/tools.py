"""The programs that the tests need beside Python, and the Debian packages they come in.

Only the standard library: scripts/test-tools imports this before there is a virtual environment.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HEADLESS = "chromium-headless-shell"


class Tool(NamedTuple):
    name: str
    package: str
    marker: str  # the pytest marker of the tests that need it
    find: Callable[[], Path | None]


def postgres_folder() -> Path | None:
    """The folder of the newest PostgreSQL's server programs; Debian keeps them off the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    folders = [*reversed(debian), *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def program(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def chromium() -> Path | None:
    """The one that has no windows before those that have, which take four times as long to open a page."""
    return program(HEADLESS, "chromium", "chromium-browser", "google-chrome")


def cjk_font() -> Path | None:
    """Any font with Japanese glyphs: without one the pictures of CJK names are rows of empty boxes."""
    fc_list = program("fc-list")
    if fc_list is None:
        return None
    listed = subprocess.run([fc_list, "--format=%{file}\n", ":lang=ja"], capture_output=True, text=True, check=False)
    return Path(listed.stdout.splitlines()[0]) if listed.stdout.strip() else None


TOOLS = (
    Tool("PostgreSQL server", "postgresql", "postgresql", postgres_folder),
    Tool("pgBackRest", "pgbackrest", "pgbackrest", lambda: program("pgbackrest")),
    Tool("Redis server", "redis-server", "redis", lambda: program("redis-server")),
    Tool("Chromium", "chromium", "browser", chromium),
    Tool("a font with CJK glyphs", "fonts-ipaexfont-gothic", "browser", cjk_font),
)


def missing() -> list[Tool]:
    return [tool for tool in TOOLS if tool.find() is None]
