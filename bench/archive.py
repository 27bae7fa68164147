"""What writers on SQLite do per second with an archiver beside them, against what they do without one.

Short rounds in turn, since other work on the machine comes and goes; the figure is the median of the pairs. `python -m bench.archive`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from sqlalchemy import Engine
from sqlalchemy.orm import Session

import migrations
from domain import audit
from domain.access import SYSTEM
from domain.db import make_engine

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.archive", description=__doc__)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pairs", type=int, default=10)
    asked = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        migrations.upgrade(f"sqlite:///{folder}/portal.db")
        for _ in range(asked.pairs):
            engine = make_engine(f"sqlite:///{folder}/portal.db")
            without = per_second(engine, asked.writers, asked.seconds)
            with archiver(Path(folder)):
                beside = per_second(engine, asked.writers, asked.seconds)
                engine.dispose()
            pairs.append((without, beside))
            print(f"{without:8.0f} transactions/s without, {beside:8.0f} with an archiver: {beside / without:.2f}")
    print(f"median: {statistics.median(beside / without for without, beside in pairs):.2f}")


def per_second(engine: Engine, writers: int, seconds: float) -> float:
    ends, counts = time.monotonic() + seconds, [0] * writers

    def write(number: int) -> None:
        while time.monotonic() < ends:
            with Session(engine) as session:
                audit.record(session, SYSTEM, "bench.written", number=number)
                session.commit()
            counts[number] += 1

    threads = [Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


@contextmanager
def archiver(folder: Path) -> Iterator[None]:
    environment = {**os.environ, "DATA_DIR": str(folder), "APP_ENV": "test", "LOG_LEVEL": "ERROR"}
    process = subprocess.Popen([Path(sys.executable).parent / "flask", "archiver"], env=environment, cwd=ROOT)
    try:
        began = time.time()
        while not any(path.stat().st_mtime > began for path in folder.glob("backups/wal/*/alive")):
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
