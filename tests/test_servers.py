"""The throwaway servers leave nothing behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis as client

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
KILLED_IN_THE_MIDDLE = """
import os, signal
from tests.servers.redis import Redis
server = Redis().__enter__()
print(server.port, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.redis
def test_a_killed_test_run_leaves_no_server_and_no_folder():
    run = subprocess.run([sys.executable, "-c", KILLED_IN_THE_MIDDLE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    port, folder = run.stdout.split()

    wait_until(lambda: not Path(folder).exists(), "the folder is gone")
    with client.Redis(port=int(port)) as gone, pytest.raises(client.ConnectionError):
        gone.ping()
