"""Making one SQLite database equal to another by the rows that differ."""

import random
import sqlite3
from contextlib import closing

import pytest

from adapters.restores import written
from adapters.restores.merging import FOUND, Merging

SCHEMA = """
CREATE TABLE people (id TEXT PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE, note TEXT);
CREATE TABLE counted (id INTEGER PRIMARY KEY, value REAL, data BLOB);
CREATE TABLE log (sequence BIGINT PRIMARY KEY, said TEXT);
CREATE TABLE parts (person TEXT REFERENCES people (id), part INTEGER, said TEXT, PRIMARY KEY (person, part));
CREATE INDEX people_notes ON people (substr(note, 1, 20));
CREATE TRIGGER log_stays BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log stays'); END;
CREATE TRIGGER people_are_counted AFTER INSERT ON people BEGIN INSERT INTO counted (value) VALUES (length(NEW.email)); END;
"""
TABLES = ("people", "counted", "log", "parts")


@pytest.fixture
def live(tmp_path):
    return made(tmp_path / "live.db")


@pytest.fixture
def side(tmp_path):
    return tmp_path / "side.db"


def made(file):
    with closing(opened(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(SCHEMA)
    return file


def opened(file):
    return sqlite3.connect(file, isolation_level=None)


def change(connection, dice):
    """Whatever somebody may do to these tables."""
    person, other = (f"p{dice.randrange(40)}" for _ in range(2))
    text = dice.choice(("", "short", "x" * 300, "a long one, on pages of its own " * 400))
    for statement, values in dice.choice(
        [
            [("INSERT OR IGNORE INTO people VALUES (?, ?, ?)", (person, f"{person}@Example.com", text))],
            [("UPDATE people SET note = ? WHERE id = ?", (text, person))],
            [("UPDATE people SET email = upper(email) WHERE id = ?", (person,))],
            [
                ("UPDATE people SET email = 'nobody' || id WHERE id = ?", (person,)),
                ("UPDATE OR IGNORE people SET email = ? WHERE id = ?", (f"{person}@Example.com", other)),
            ],
            [("DELETE FROM people WHERE id = ?", (person,))],
            [("UPDATE OR IGNORE people SET rowid = rowid + 50 WHERE id = ?", (person,))],
            [("DELETE FROM counted WHERE id % 7 = ?", (dice.randrange(7),))],
            [("UPDATE counted SET value = ?, data = ? WHERE id % 5 = 1", (dice.random(), dice.randbytes(dice.choice((1, 9000)))))],
            [("INSERT INTO log SELECT coalesce(max(sequence), 0) + 1, ? FROM log", (text,))],
            [("UPDATE log SET said = ? WHERE sequence = ?", (text, dice.randrange(10)))],
            [("INSERT INTO parts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET said = excluded.said", (person, dice.randrange(3), text))],
            [("DELETE FROM parts", ())],
        ]
    ):
        connection.execute(statement, values)


def contents(connection):
    """Every row with its number, and all that the schema consists of."""
    rows = {table: connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall() for table in TABLES}
    return rows, sorted(connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall(), key=str)


def of(file):
    with closing(opened(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return contents(connection)


def copied(source, target):
    with closing(opened(source)) as old, closing(opened(target)) as new:
        old.backup(new)


def put_down(*files):
    for file in files:
        with closing(opened(file)) as connection:
            written.put_down_from_now_on(connection)


def swapped(live, side):
    """As a swap does it: one made the other, and the other what the one was."""
    found = side.with_name(side.name + FOUND)
    with Merging(side, live, found) as old:
        with Merging(live, side, found) as merging:
            merging.lock()
            old.pin()
            equal = merging.merge()
            merging.connection.execute("COMMIT" if equal else "ROLLBACK")
        if equal:
            assert old.merge()
            old.connection.execute("COMMIT")
    return equal


@pytest.mark.parametrize("seed", range(12))
def test_both_become_what_the_other_was_whatever_was_written_before_and_after_they_were_compared(live, side, seed):
    dice = random.Random(seed)
    with closing(opened(live)) as connection:
        for _ in range(60):
            change(connection, dice)
    copied(live, side)
    with closing(opened(live)) as ours, closing(opened(side)) as theirs:
        for _ in range(30):
            change(dice.choice((ours, theirs)), dice)
        put_down(live, side)
        with Merging(live, side, side.with_name(side.name + FOUND)) as merging:
            merging.compare()
        late = (0, 5, 60)[seed % 3]
        for _ in range(late):
            change(dice.choice((ours, theirs)), dice)
        put = [connection.execute("SELECT count(*) FROM restore_written").fetchone()[0] for connection in (ours, theirs)]
    before = {file: plain(of(file)) for file in (live, side)}
    assert before[live][0] != before[side][0]
    assert all(put) if late > 5 else late or not any(put)

    assert swapped(live, side)

    assert of(live) == before[side]
    assert of(side) == before[live]


def plain(found):
    rows, schema = found
    return rows, [part for part in schema if not part[1].startswith(written.WRITTEN)]


def test_a_row_that_was_replaced_without_a_trigger_is_noticed(live, side):
    with closing(opened(live)) as connection:
        connection.execute("INSERT INTO people VALUES ('p1', 'a@example.com', ''), ('p2', 'b@example.com', '')")
    copied(live, side)
    put_down(live, side)
    with Merging(live, side, side.with_name(side.name + FOUND)) as merging:
        merging.compare()
    with closing(opened(live)) as connection:
        connection.execute("PRAGMA recursive_triggers=OFF")
        connection.execute("REPLACE INTO people VALUES ('p3', 'a@example.com', '')")  # p1 goes, and no trigger says so
    before = of(live)
    assert not swapped(live, side)
    assert of(live) == before


def test_what_only_one_schema_has_is_no_reason_to_exchange_rows(live, side):
    copied(live, side)
    with closing(opened(live)) as connection:
        connection.execute("CREATE INDEX by_hand ON people (note)")
        connection.execute("INSERT INTO people VALUES ('p1', 'a@example.com', '')")
    put_down(live, side)
    with Merging(live, side, side.with_name(side.name + FOUND)) as merging:
        assert merging.compare() == set(TABLES)
        assert list(merging.rows_found("people")) == [1]
        assert not merging.is_worth_it()


def test_putting_down_leaves_no_trace_once_it_stops(live):
    before = of(live)
    put_down(live, live)
    with closing(opened(live)) as connection:
        connection.execute("INSERT INTO people VALUES ('p1', 'a@example.com', '')")
        connection.execute("UPDATE people SET note = 'b'")
        assert set(connection.execute("SELECT * FROM restore_written")) == {("people", 1), ("counted", 1)}
        connection.execute("DELETE FROM people")
        connection.execute("DELETE FROM counted")
        written.stop(connection)
        written.stop(connection)
    assert of(live) == before
