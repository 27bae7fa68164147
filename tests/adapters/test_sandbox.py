import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from adapters.gateways.sandbox import (
    CARD_CLOSED,
    FAILED_LATER,
    LATE_ANSWER,
    LOST_ANSWER,
    OUT_OF_REACH,
    PENDING,
    SandboxGateway,
)
from domain.refunds.gateway import Absent, BadSignature, Pending, Processed, Rejected, RetryLater, Unknown
from tests.adapters.orders import make_order
from tests.waiting import wait_until


class Clock:
    def __init__(self):
        self.time = 1_790_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sandbox(tmp_path, clock):
    return SandboxGateway(tmp_path / "data" / "sandbox-gateway.db", timeout=20, clock=clock)


def rows(sandbox: SandboxGateway) -> list[tuple]:
    with closing(sqlite3.connect(sandbox.ledger_file)) as ledger:
        return ledger.execute("SELECT key, amount, payment_id FROM refunds ORDER BY created_at").fetchall()


class TestAnOrdinaryRefund:
    def test_it_is_processed_and_in_the_ledger(self, sandbox):
        order = make_order(sandbox, amount=12345)

        verdict = sandbox.create(order)

        assert isinstance(verdict, Processed)
        assert verdict.facts.amount_cents == 12345
        assert verdict.facts.currency == "INR"
        assert verdict.facts.refund_id == order.refund_id
        assert verdict.facts.attempt == 1
        assert rows(sandbox) == [(order.key, 12345, order.provider_payment_id)]

    def test_sent_again_it_is_the_same_refund(self, sandbox):
        order = make_order(sandbox)
        assert sandbox.create(order) == sandbox.create(order)
        assert len(rows(sandbox)) == 1

    def test_another_body_under_its_key_raises_the_alarm(self, sandbox):
        order = make_order(sandbox)
        sandbox.create(order)

        verdict = sandbox.create(replace(order, body=order.body + b" "))

        assert isinstance(verdict, RetryLater)
        assert verdict.alarm
        assert len(rows(sandbox)) == 1

    def test_it_is_found_by_its_order_and_by_its_id(self, sandbox):
        order = make_order(sandbox)
        made = sandbox.create(order)
        assert sandbox.find(order) == made
        assert sandbox.get(made.facts.gateway_refund_id, order) == made

    def test_what_was_never_made_is_absent(self, sandbox):
        order = make_order(sandbox)
        assert sandbox.find(order) == Absent()
        assert sandbox.get("sbx_none", order) == Absent()

    def test_another_attempt_is_another_refund(self, sandbox):
        order = make_order(sandbox)
        sandbox.create(order)
        assert sandbox.find(make_order(sandbox, refund_id=order.refund_id, attempt=2)) == Absent()

    def test_for_a_lost_order_the_last_attempt_is_ours_over_any_amount(self, sandbox):
        order = make_order(sandbox)
        sandbox.create(order)
        made = sandbox.create(make_order(sandbox, refund_id=order.refund_id, attempt=2))
        lost = replace(order, amount_cents=60000, lost=True)
        assert sandbox.find(lost) == made
        assert sandbox.find(replace(lost, refund_id=uuid4())) == Absent()
        assert isinstance(sandbox.find(replace(lost, currency="USD")), Unknown)

    def test_one_that_differs_from_the_order_is_not_adopted(self, sandbox):
        order = make_order(sandbox)
        made = sandbox.create(order)
        other = replace(order, amount_cents=order.amount_cents + 1)
        assert isinstance(sandbox.find(other), Unknown)
        assert isinstance(sandbox.get(made.facts.gateway_refund_id, other), Unknown)

    def test_the_body_says_everything_and_is_the_same_every_time(self, sandbox):
        order = make_order(sandbox, amount=777)
        assert json.loads(order.body) == {
            "payment": order.provider_payment_id,
            "amount": 777,
            "currency": "INR",
            "reference": "RF-2026-000042",
            "metadata": {"refund_request_id": str(order.refund_id), "attempt": "1"},
        }
        assert sandbox.prepare(order) == order.body


class TestMagicAmounts:
    def test_a_closed_card_is_declined_and_nothing_moves(self, sandbox):
        order = make_order(sandbox, amount=CARD_CLOSED)
        assert sandbox.create(order) == Rejected("card_closed", "The account of this card was closed")
        assert rows(sandbox) == []

    def test_a_lost_answer_leaves_a_refund_to_be_found(self, sandbox):
        order = make_order(sandbox, amount=LOST_ANSWER)
        began = time.monotonic()
        assert isinstance(sandbox.create(order, deadline=0.2), Unknown)
        assert 0.2 <= time.monotonic() - began < 5
        assert isinstance(sandbox.find(order), Processed)
        assert len(rows(sandbox)) == 1

    def test_a_pending_one_is_final_after_20_seconds(self, sandbox, clock):
        order = make_order(sandbox, amount=PENDING)
        made = sandbox.create(order)
        assert isinstance(made, Pending)
        clock.time += 19
        assert isinstance(sandbox.get(made.facts.gateway_refund_id, order), Pending)
        clock.time += 2
        assert sandbox.get(made.facts.gateway_refund_id, order) == Processed(made.facts)

    def test_a_done_one_may_fail_a_minute_later(self, sandbox, clock):
        order = make_order(sandbox, amount=FAILED_LATER)
        made = sandbox.create(order)
        assert isinstance(made, Processed)
        clock.time += 61
        assert sandbox.get(made.facts.gateway_refund_id, order) == Rejected("returned_by_bank", "The bank sent the money back", made.facts)

    def test_it_cannot_be_reached_for_20_seconds_and_then_works(self, sandbox, clock):
        order = make_order(sandbox, amount=OUT_OF_REACH)
        assert sandbox.create(order) == RetryLater(5, "The sandbox could not be reached")
        clock.time += 18
        assert sandbox.create(order) == RetryLater(2, "The sandbox could not be reached")
        clock.time += 2
        assert isinstance(sandbox.create(order), Processed)

    def test_a_late_answer_comes_if_one_waits_for_it(self, sandbox):
        began = time.monotonic()
        assert isinstance(sandbox.create(make_order(sandbox, amount=LATE_ANSWER), deadline=30), Processed)
        assert 3 <= time.monotonic() - began < 30

    def test_a_late_answer_is_lost_to_one_who_does_not(self, sandbox):
        order = make_order(sandbox, amount=LATE_ANSWER)
        assert isinstance(sandbox.create(order, deadline=0.1), Unknown)
        assert isinstance(sandbox.find(order), Processed)


def test_it_sends_no_webhooks(sandbox):
    with pytest.raises(BadSignature):
        sandbox.parse_webhook(b"{}", {})


def test_a_ledger_that_cannot_be_opened_is_no_answer(tmp_path):
    (tmp_path / "file").write_text("")
    sandbox = SandboxGateway(tmp_path / "file" / "sandbox-gateway.db", timeout=1)
    order = make_order(sandbox)
    assert isinstance(sandbox.create(order), Unknown)
    assert isinstance(sandbox.find(order), Unknown)


def test_a_locked_ledger_is_waited_for_no_longer_than_the_deadline(sandbox):
    sandbox.create(make_order(sandbox))
    with closing(sqlite3.connect(sandbox.ledger_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert isinstance(sandbox.create(make_order(sandbox), deadline=0.2), Unknown)
        assert time.monotonic() - began < 10


def test_many_threads_with_one_order_make_one_refund(sandbox):
    order = make_order(sandbox)
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return sandbox.create(order, deadline=30)

    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(ask, range(8)))
    assert len({verdict.facts.gateway_refund_id for verdict in verdicts}) == 1
    assert len(rows(sandbox)) == 1


def ask_for_refunds(ledger: Path, payments: list[str], report) -> None:
    sandbox = SandboxGateway(ledger, timeout=30)
    for payment in payments:
        verdict = sandbox.create(make_order(sandbox, payment=payment))
        report.send_bytes(f"{payment} {type(verdict).__name__}".encode())


def test_what_was_answered_survives_the_death_of_the_process(tmp_path):
    ledger = tmp_path / "sandbox-gateway.db"
    spawn = multiprocessing.get_context("spawn")
    processes, reports = [], []
    for n in range(3):
        reading, writing = spawn.Pipe(duplex=False)
        payments = [f"pay_{n}_{i}" for i in range(2000)]
        processes.append(spawn.Process(target=ask_for_refunds, args=(ledger, payments, writing)))
        processes[-1].start()
        writing.close()
        reports.append(reading)
    answered: list[str] = [wait_until(lambda r=r: r.poll() and r.recv_bytes(), "a refund", 60).decode() for r in reports]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
    for report in reports:
        try:
            while True:
                answered.append(report.recv_bytes().decode())
        except (EOFError, OSError):
            report.close()

    assert {line.split()[1] for line in answered} == {"Processed"}
    kept = {payment for _, _, payment in rows(SandboxGateway(ledger, timeout=5))}
    assert {line.split()[0] for line in answered} <= kept
    assert len(kept) - len(answered) <= 3


def test_all_that_was_made_since_is_listed(sandbox, clock):
    made = []
    for _ in range(3):
        made.append(sandbox.create(make_order(sandbox)))
        clock.time += 60
    assert list(sandbox.made_since(datetime.fromtimestamp(clock.time - 130, UTC))) == made[1:]
    sandbox.ledger_file.write_bytes(b"no database at all" * 1000)
    [told] = sandbox.made_since(datetime.fromtimestamp(clock.time, UTC))
    assert isinstance(told, Unknown)
