"""`flask worker`: a Huey consumer with threads, the sweep and the clock beside it."""

from __future__ import annotations

import logging
import os
from threading import Event, Thread
from typing import Any

import click

from config import Config
from tasks import outbox, timekeeper
from tasks.context import make_context
from tasks.presence import Presence
from tasks.queue import Bell
from tasks.runner import Runner
from tasks.types import Handler

log = logging.getLogger(__name__)

DRAIN_SECONDS = 25


def work(config: Config, threads: int, handlers: dict[str, Handler] | None = None) -> None:
    """Run until TERM or INT: then no new job is begun, running ones reach their next step, and the process ends."""
    context = make_context(config)
    runner = Runner(context, handlers)
    bell = Bell(config, runner.answer)
    outbox.connect(context.sessions, bell.ring)
    runner.start_heartbeat()
    presence = Presence(runner, threads)
    timekeeper.start(context, bell, presence)
    log.info("worker %s is ready with %d threads", os.getpid(), threads)
    try:
        consume(bell.queue, threads, context.stopping)
    finally:
        context.stopping.set()
        presence.end(context)
        context.engine.dispose()


def consume(queue: Any, threads: int, stopping: Event) -> None:
    """Answer the bell until TERM or INT, which sets `stopping`."""
    consumer = queue.create_consumer(
        workers=threads,
        worker_type="thread",
        periodic=False,
        initial_delay=0.05,
        max_delay=0.5,
        backoff=1.2,
        graceful_signal="TERM",
        shutdown_timeout=DRAIN_SECONDS,
    )

    def pass_on() -> None:
        consumer.stop_flag.wait()
        stopping.set()

    Thread(target=pass_on, name="stopping", daemon=True).start()
    consumer.run()


def command(config: Config) -> click.Command:
    @click.command("worker", help="Run background jobs until TERM or INT.\n\nExample: flask worker --threads 4")
    @click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="How many jobs run at once.")
    def worker(threads: int) -> None:
        work(config, threads)

    return worker
