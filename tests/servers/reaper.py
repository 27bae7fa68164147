"""Stops whatever a test run left running, also when the run itself was killed.

The run holds a pipe to this process. When the pipe closes, for whatever reason, the reaper kills the process groups, unmounts the disks
and removes the folders that were announced on it and not taken back.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_reaper: subprocess.Popen[str] | None = None


def watch(kind: str, name: object) -> None:
    """Announce a process group ("group"), a disk by where it is mounted ("disk"), or a folder ("folder")."""
    _say("watch", kind, name)


def forget(kind: str, name: object) -> None:
    _say("forget", kind, name)


def _say(verb: str, kind: str, name: object) -> None:
    global _reaper
    if _reaper is None:
        command = [sys.executable, str(Path(__file__))]
        _reaper = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        atexit.register(_dismiss, _reaper)
    assert _reaper.stdin is not None
    _reaper.stdin.write(f"{verb} {kind} {name}\n")
    _reaper.stdin.flush()


def _dismiss(reaper: subprocess.Popen[str]) -> None:
    reaper.communicate()


def main() -> None:
    watched: dict[tuple[str, str], None] = {}
    for line in sys.stdin:
        verb, kind, name = line.rstrip("\n").split(" ", 2)
        if verb == "watch":
            watched[kind, name] = None
        else:
            watched.pop((kind, name), None)
    for kind, name in reversed(watched):
        if kind == "group":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(name), signal.SIGKILL)
        elif kind == "disk":
            subprocess.run(["umount", "-l", name], check=False)
        else:
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
