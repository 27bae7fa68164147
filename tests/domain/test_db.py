"""Writers on SQLite wait for each other, briefly and in words that every caller knows."""

import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from domain import db

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_writer_goes_on_soon_after_the_one_before_it(engine):
    begun, waited = threading.Event(), []

    def second():
        begun.wait()
        began = time.monotonic()
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        waited.append(time.monotonic() - began)

    thread = threading.Thread(target=second)
    thread.start()
    with engine.begin():
        begun.set()
        time.sleep(0.3)
        released = time.monotonic()
    thread.join()
    assert waited[0] >= 0.25
    assert time.monotonic() - released < 5


def test_one_that_waits_in_vain_is_told_by_an_error_of_sqlalchemys(engine):
    with engine.begin(), db.impatient(0.2), pytest.raises(OperationalError, match="locked"), engine.begin():
        pass
    with engine.begin() as connection:  # and the connection is as good as before
        connection.execute(text("SELECT 1"))
