"""Exports as people have them, with real processes: a million rows in little memory, and a cancel that leaves nothing behind."""

import time
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy.orm import Session

from domain.jobs.leases import LEASE
from tests.factories import make_payment
from tests.many import earlier, multiply, numbered
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = "/api/v1/admin/jobs"
A_LOT = {"csv": 1_000_000, "xlsx": 150_000}
"""A workbook of a million rows takes minutes: `make_payments(desk, 1_000_000)` shows that it needs no more memory either."""
MB = 1024 * 1024
LITTLE = 200 * MB
SOME = 100_000
TRIES = 3  # since a machine may be busy with something else
AT_ONCE = 100_000  # rows that PostgreSQL makes within its statement_timeout


def make_payments(desk, count):
    with Session(desk.engine) as session:
        payment = make_payment(session)
        for made in range(1, count, AT_ONCE):
            paid_at = earlier(session, payment.paid_at - timedelta(seconds=made), timedelta(seconds=1))
            more = min(AT_ONCE, count - made)
            multiply(session, payment, more, provider_payment_id=numbered(f"pay_{made}_"), paid_at=paid_at)
            session.commit()


def start_export(desk, format):
    wish = {"type": "analytics_export", "report_type": "payments", "format": format}
    answer = httpx.post(f"{desk.portal.url}{JOBS}", json=wish, headers=desk.headers(0, uuid4().hex), timeout=30)
    assert answer.status_code == 200, answer.text
    return f"{JOBS}/{answer.json()['data']['job_id']}"


def look(desk, job):
    return desk.get(job)["data"]


def ended(desk, job):
    found = look(desk, job)
    return found if found["status"] not in ("pending", "processing") else None


def peak(pid):
    """The most memory that this process has had so far."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("format", A_LOT)
def test_an_export_of_a_million_rows_needs_less_than_200_mb(desk, format):
    make_payments(desk, A_LOT[format])
    [worker] = desk.portal.workers
    begun = time.monotonic()

    job = start_export(desk, format)
    found = wait_until(lambda: ended(desk, job), "the export is made", seconds=600)

    took, made_in = time.monotonic() - begun, peak(worker.pid)
    assert (found["status"], found["result"]["rows"]) == ("succeeded", A_LOT[format]), found
    assert rows_of(desk, job, format) == A_LOT[format]
    sent_in = max(peak(pid) for pid in desk.portal.web.children())
    print(f"{A_LOT[format]} rows as {format}: {took:.0f} s, {made_in / MB:.0f} MB to make it, {sent_in / MB:.0f} MB to send it")
    assert max(made_in, sent_in) < LITTLE


def rows_of(desk, job, format):
    """How many rows there are in the file that people download, below its header."""
    file = desk.portal.folder / "downloaded"
    with file.open("wb") as kept, httpx.stream("GET", f"{desk.portal.url}{job}/result", headers=desk.headers(0), timeout=60) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes():
            kept.write(piece)
    if format == "csv":
        with file.open("rb") as lines:
            return sum(1 for _ in lines) - 1
    with zipfile.ZipFile(file) as book, book.open("xl/worksheets/sheet1.xml") as sheet:
        rows, end = 0, b""
        while piece := sheet.read(MB):
            rows += (end + piece).count(b"<row ")
            end = piece[-4:]
        return rows - 1


def counting(desk, found):
    return found["stage"] == "Counting rows"


def writing(desk, found):
    return 1 < found["progress_percent"] < 50


def closing(desk, found):
    """All rows are there, and are put together to a workbook."""
    return any(book.stat().st_size for book in (desk.portal.data_dir / "work" / found["id"]).rglob("result.xlsx"))


@pytest.mark.parametrize(("format", "when"), [("csv", counting), ("csv", writing), ("xlsx", writing), ("xlsx", closing)])
def test_a_cancelled_export_has_stopped_within_a_second_and_leaves_no_file(desk, format, when):
    make_payments(desk, SOME)
    for _ in range(TRIES):
        job = start_export(desk, format)
        under_way(desk, job, when)

        answered = cancel(desk, job)

        found = wait_until(lambda job=job: acknowledged(desk, job), "its worker has stopped")
        stopped = datetime.fromisoformat(found["cancel_acknowledged_at"]) - datetime.fromisoformat(found["cancelled_at"])
        print(f"answered after {answered.total_seconds():.2f} s, stopped {stopped.total_seconds():.2f} s after the cancel")
        cancelled_for_ever(desk, job)
        if max(answered, stopped) < timedelta(seconds=1):
            return
    pytest.fail(f"none of {TRIES} was answered and had stopped within a second")


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_one_whose_worker_dies_right_after_the_cancel_leaves_no_file(desk, format):
    make_payments(desk, SOME)
    job = start_export(desk, format)
    under_way(desk, job, writing)

    cancel(desk, job)
    desk.portal.workers.pop().kill_group()
    print(f"the dead worker left {len(left_over(desk))} files")  # none where it was so quick as to have stopped before
    desk.portal.start_worker()

    wait_until(lambda: acknowledged(desk, job), "another worker has cleaned up", seconds=2 * LEASE.total_seconds())
    cancelled_for_ever(desk, job)


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_one_whose_worker_died_before_the_cancel_leaves_no_file(desk, format):
    make_payments(desk, SOME)
    job = start_export(desk, format)
    under_way(desk, job, writing)

    desk.portal.workers.pop().kill_group()
    cancel(desk, job)
    assert left_over(desk) != []
    desk.portal.start_worker()

    wait_until(lambda: acknowledged(desk, job), "another worker has cleaned up", seconds=2 * LEASE.total_seconds())
    cancelled_for_ever(desk, job)


def under_way(desk, job, when):
    def there():
        found = look(desk, job)
        assert found["status"] in ("pending", "processing"), found
        return found["status"] == "processing" and when(desk, found)

    wait_until(there, f"it is {when.__name__}", seconds=120)


def cancel(desk, job):
    """Says so, whatever the worker does meanwhile; answers how soon."""
    begun = time.monotonic()
    answer = httpx.post(f"{desk.portal.url}{job}/cancel", json={"reason": "Wrong month"}, headers=desk.headers(0, uuid4().hex), timeout=30)
    took = timedelta(seconds=time.monotonic() - begun)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "cancelled"), answer.text
    return took


def acknowledged(desk, job):
    found = look(desk, job)
    return found if found["cancel_acknowledged_at"] else None


def left_over(desk):
    """Every file that is still there of any export."""
    return [path for folder in ("work", "storage") for path in (desk.portal.data_dir / folder).rglob("*") if path.is_file()]


def cancelled_for_ever(desk, job):
    """Nothing is left of it now, nor when its worker has made another export after it, and was told of this one again."""
    before = look(desk, job)
    assert left_over(desk) == []
    other = start_export(desk, "csv")
    made = wait_until(lambda: ended(desk, other), "another export is made", seconds=120)
    assert (made["status"], made["result"]["rows"]) == ("succeeded", SOME)
    assert [path.name for path in left_over(desk)] == [f"{other.rpartition('/')[2]}.csv"]
    after = look(desk, job)
    assert after == before
    assert (after["status"], after["result"]) == ("cancelled", None)
    assert httpx.get(f"{desk.portal.url}{job}/result", headers=desk.headers(0), timeout=30).status_code == 404
