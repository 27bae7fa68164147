"""Whoever waits for a PostgreSQL that says nothing is told so in time; one that is only slow is waited for."""

import socket
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from domain.db import make_brief_engine, make_engine
from domain.patience import patience
from tests.waiting import wait_until


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_statement_is_cut_when_patience_is_over_and_not_before(database_url):
    engine = make_engine(database_url)
    try:
        with patience(0.5), pytest.raises(OperationalError), engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(20)"))
        with patience(20), engine.connect() as connection:  # slow enough to be suspected, but the server opens
            connection.execute(text("SELECT pg_sleep(3.5)"))
            assert connection.scalar(text("SELECT 1")) == 1
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_sleep(0.8)"))  # without patience there is nothing to be over
    finally:
        engine.dispose()


def test_only_the_first_wait_for_a_server_that_never_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        engine = make_brief_engine(f"postgresql://portal@127.0.0.1:{silent.getsockname()[1]}/portal", seconds=2)
        for most in (30, 1, 1, 1):
            began = time.monotonic()
            with pytest.raises(OperationalError), engine.connect():
                pass
            assert time.monotonic() - began < most
        with pytest.raises(OperationalError, match="did not answer a moment ago"), engine.connect():
            pass

    def refused():
        with pytest.raises(OperationalError) as error, engine.connect():
            pass
        return "refused" in str(error.value)

    wait_until(refused, "the door is tried again, and its own answer is given", seconds=20)
