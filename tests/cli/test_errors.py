"""What goes wrong at the command line is one line on stderr and exit 1; wrong usage is exit 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


def flask(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "APP_ENV": "test", **environment}
    return subprocess.run(["flask", *arguments], env=variables, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False)


def test_a_database_that_is_away(tmp_path):
    done = flask("db", "upgrade", DATA_DIR=str(tmp_path), DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: The database does not answer")
    assert "secret" not in done.stderr


def test_wrong_usage(tmp_path):
    done = flask("openapi", "write", DATA_DIR=str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: flask openapi write" in done.stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", [("db", "upgrade"), ("openapi", "write"), ("serve",), ("admin", "create"), ("data", "import")])
def test_every_help_has_an_example(command, app):
    told = app.test_cli_runner().invoke(args=[*command, "--help"]).stdout
    assert f"flask {' '.join(command)}" in told.partition("Example")[2]
