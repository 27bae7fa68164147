"""A stand-in in a process of its own: prints its address, then the portal's settings for it, and plays until it is ended."""

import argparse
import signal
import threading
from pathlib import Path

from tests.standins.gateway import GatewayStandIn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.standins", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, help="keeps every refund here, one JSON line each, and goes on from it")
    parser.add_argument("--captured", type=int, help="how much of each payment can be given back; without it, any amount")
    parser.add_argument("--currency", default="INR")
    parser.add_argument("--no-keys", action="store_true", help="play a gateway that does not know idempotency keys")
    parser.add_argument("--key-life", type=float, help="seconds until a key is forgotten")
    parser.add_argument("--behind", type=float, default=0.0, help="seconds until a look-up sees a new refund")
    parser.add_argument("--random", type=float, default=0.0, help="the share of calls that go wrong")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long slow things take")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    standin = GatewayStandIn(
        given.port,
        given.ledger,
        given.captured,
        given.currency,
        honour_keys=not given.no_keys,
        key_life=given.key_life,
        look_up_behind=given.behind,
    )
    ended = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: ended.set())
    with standin:
        standin.fault_at_random(given.random, given.seed, given.seconds)
        print(standin.url, flush=True)
        for name, value in standin.environment().items():
            print(f"{name}={value}", flush=True)
        ended.wait()


main()
