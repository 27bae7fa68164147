"""`flask serve`: the whole portal from one command, behind `make run`; in production a supervisor runs the Procfile."""

import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import click
import httpx

import config

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60
STOP_SECONDS = 30

Children = dict[str, subprocess.Popen[bytes]]


@click.command("serve")
@click.option("--host", envvar="HOST", default="127.0.0.1", show_default=True)
@click.option("--port", envvar="PORT", default=8000, show_default=True, type=click.IntRange(1, 65535))
def serve(host: str, port: int) -> None:
    """Migrate, load the demo data on the first start, and run web, worker and archiver until Ctrl-C.

    \b
    Example: flask serve --port 8001
    """
    refuse_unless_free(host, port)
    environment = {**os.environ, "HOST": host, "PORT": str(port)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"
    settings = config.load(environment)
    sign_ins = settings.data_dir / "demo-sign-ins.json"

    run_to_end("flask db upgrade", environment)
    if not sign_ins.exists() and not settings.production:
        run_to_end("flask data demo --if-empty", environment, stdout=subprocess.DEVNULL)  # the greeting shows what it says
    with stop_signals() as stop, procfile_running(environment) as children:
        wait_until_ready(host, port, children, stop)
        if not stop.is_set():
            click.echo(greeting(settings.public_url, sign_ins))
        while not stop.wait(0.2):
            refuse_a_death(children)
    click.echo("Stopped.")


def refuse_unless_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = f"Port {port} is taken: write `make run PORT={port + 1}`, or stop what listens there"
            else:
                reason = f"Cannot listen on {host} port {port} ({error.strerror}): name others, as in `make run PORT=8001`"
            raise click.ClickException(reason) from None


def run_to_end(line: str, environment: Mapping[str, str], stdout: int | None = None) -> None:
    if status := subprocess.run(line.split(), env=environment, cwd=ROOT, stdout=stdout, check=False).returncode:
        raise click.ClickException(f"`{line}` ended with {status}; what it says above is the reason")


@contextmanager
def stop_signals() -> Iterator[Event]:
    """An event that Ctrl-C, a closing terminal or a supervisor sets."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    yield stop


@contextmanager
def procfile_running(environment: Mapping[str, str]) -> Iterator[Children]:
    """Every line of the Procfile as a child, stopped together at the end, whatever ended it."""
    children: Children = {}
    try:
        for line in (ROOT / "Procfile").read_text().splitlines():
            name, command = line.split(": ", 1)
            # A session of its own keeps the terminal's Ctrl-C from reaching the child past this process.
            children[name] = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], env=environment, cwd=ROOT, start_new_session=True, preexec_fn=die_with_parent
            )
        yield children
    finally:
        stop_all(children)


def die_with_parent() -> None:
    """Have the kernel end this child when the supervisor dies without a chance to stop it; only Linux can."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def stop_all(children: Children) -> None:
    for child in children.values():
        child.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in children.values():
        try:
            child.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_until_ready(host: str, port: int, children: Children, stop: Event) -> None:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    deadline = time.monotonic() + READY_SECONDS
    while not stop.wait(0.1):
        refuse_a_death(children)
        try:
            if httpx.get(f"http://{name}:{port}/readyz", timeout=2, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise click.ClickException(f"The portal was not ready within {READY_SECONDS} s; what it says above is the reason")


def refuse_a_death(children: Children) -> None:
    for name, child in children.items():
        if child.poll() is not None:
            raise click.ClickException(f"The {name} process ended with {child.returncode}; everything else is stopped as well")


def greeting(url: str, sign_ins: Path) -> str:
    lines = ["", f"The portal runs at {url}", ""]
    if sign_ins.exists():
        lines += ["Demo sign-ins:", *(f"  {line}" for line in table(json.loads(sign_ins.read_text()))), ""]
    return "\n".join([*lines, "Ctrl-C stops it.", ""])


def table(rows: list[dict[str, str]]) -> list[str]:
    """The rows under their column names, aligned."""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
