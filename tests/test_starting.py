"""Wrong settings: one line per mistake, and nothing starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import config

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
WRONG = {"SECRET_KEY": "short", "REDIS_URL": "http://nowhere", "TRUSTED_PROXIES": "many"}


@pytest.mark.parametrize(
    "command", [["flask", "db", "upgrade"], ["gunicorn", "--no-control-socket", "--bind", "127.0.0.1:0", "wsgi:create_app()"]]
)
def test_every_mistake_is_named_at_once(command: list[str], tmp_path: Path):
    environment = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "DATA_DIR": str(tmp_path / "data"), **WRONG}
    done = subprocess.run(command, env=environment, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False)

    said = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert done.returncode == 1
    assert sorted(line.partition(":")[0] for line in said) == sorted(WRONG)
    assert not (tmp_path / "data").exists()


def test_a_command_loads_no_migrations_and_looks_for_no_garbage_in_what_it_loads():
    look = "import gc, sys, wsgi; print('alembic' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 100_000, gc.get_stats()[2])"
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, timeout=60, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False True True {'collections': 0,")


@pytest.mark.parametrize("origin", ["https://admin.example.com/", "admin.example.com", "*", "null", "https://a.example/path"])
def test_what_is_no_origin_is_named(origin: str):
    with pytest.raises(config.ConfigError, match=r"^CORS_ORIGINS: .* is no origin; write scheme and host alone"):
        config.load({"SECRET_KEY": "k" * 32, "CORS_ORIGINS": f"https://good.example.com:8443, {origin}"})
