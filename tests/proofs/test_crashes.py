"""kill -9 to anything at any moment, against a gateway that fails in every way it can: each refund is paid exactly once."""

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.jobs.models import Job
from domain.refunds.models import Refund
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

APPROVALS = 200
STUCK_AFTER = 180


class Killer(Thread):
    """Kills a web worker, the whole web or the worker, every second or so, and starts again what is gone."""

    def __init__(self, portal, seed):
        super().__init__(daemon=True)
        self.portal, self.dice, self.enough, self.kills = portal, random.Random(seed), Event(), Counter()

    def run(self):
        while not self.enough.wait(self.dice.uniform(0.3, 1.2)):
            target = self.dice.choice(["web worker", "web worker", "web", "worker", "worker"])
            if target == "web worker":
                children = self.portal.web.children()
                if children:
                    os.kill(self.dice.choice(children), signal.SIGKILL)
            elif target == "web":
                self.portal.web.kill_group()
                self.portal.start_web()
            else:
                self.portal.workers.pop().kill_group()
                self.portal.start_worker()
            self.kills[target] += 1


def test_each_refund_is_paid_exactly_once(desk, gateway):
    refunds = desk.make_refunds(APPROVALS)
    gateway.fault_at_random(0.3, seed=7, seconds=3)
    killer = Killer(desk.portal, seed=11)
    killer.start()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda item: desk.approve_for_certain(item[1], admin=item[0] % 3), enumerate(refunds)))
    wait_until(lambda: sum(killer.kills.values()) >= 20, "enough is killed", seconds=90)
    killer.enough.set()
    killer.join(90)
    assert not killer.is_alive()
    print(f"{APPROVALS} approvals, kills: {dict(killer.kills)}")
    assert Counter(answer.status_code for answer in answers) == {200: APPROVALS}

    ended = time.monotonic()
    wait_until(lambda: not open_refunds(desk.engine), "every refund has its transaction id", seconds=STUCK_AFTER)
    print(f"the last refund was taken {time.monotonic() - ended:.0f} s after the last kill")

    paid = Counter(refund.marks["refund_request_id"] for refund in gateway.ledger() if refund.moved)
    assert paid == {str(refund_id): 1 for refund_id in refunds}
    told = {refund.marks["refund_request_id"]: refund.id for refund in gateway.ledger()}
    with Session(desk.engine) as session:
        rows = session.execute(select(Refund.id, Refund.transaction_id).where(Refund.id.in_(refunds))).all()
        assert {str(id): transaction for id, transaction in rows} == told
        assert session.scalars(select(Job.status).where(Job.type == "refund_processing", Job.error.is_not(None))).all() == []


def open_refunds(engine):
    with Session(engine) as session:
        return session.scalars(
            select(Refund.refund_number).where(Refund.processing_state.in_(("queued", "asking", "unknown", "failed")))
        ).all()
