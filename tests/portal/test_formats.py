"""Amounts, moments and names as the page writes them."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, g

from domain.access import Actor
from domain.db import now
from portal import formats


@pytest.fixture
def reader():
    """Somebody reading, in the zone and the locale that are named."""

    def read_as(timezone="UTC", locale="en_IN"):
        g.actor = Actor(admin_id=None, name="Nisha Kapoor", permissions=frozenset(), timezone=timezone, locale=locale)

    with Flask("reader").app_context():
        yield read_as


MOMENT = datetime(2026, 3, 9, 20, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Asia/Kolkata", "10 Mar 2026, 01:35 IST"),
        ("America/Sao_Paulo", "9 Mar 2026, 17:05 UTC−3"),
        ("Pacific/Auckland", "10 Mar 2026, 09:05 NZDT"),
        ("Asia/Kathmandu", "10 Mar 2026, 01:50 UTC+5:45"),
        ("UTC", "9 Mar 2026, 20:05 UTC"),
        ("Nowhere/Special", "9 Mar 2026, 20:05 UTC"),
        ("../../etc/passwd", "9 Mar 2026, 20:05 UTC"),
        ("", "9 Mar 2026, 20:05 UTC"),
    ],
)
def test_a_moment_names_the_zone_it_is_told_in(reader, zone, said):
    reader(zone)
    assert formats.when(MOMENT) == said


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=18), "18 min"),
        (timedelta(hours=23, minutes=59), "23 h"),
        (timedelta(days=2), "2 d"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_an_age_is_short(ago, said):
    assert formats.age(now() - ago) == said


@pytest.mark.parametrize(
    ("locale", "currency", "cents", "said"),
    [
        ("en_IN", "INR", 12_460_000, "₹1,24,600.00"),
        ("en_US", "USD", 123_456_789, "$1,234,567.89"),
        ("en_IN", "KWD", 84_250, "KWD\xa084.250"),
        ("ja_JP", "JPY", 15_800, "￥15,800"),
        ("de_DE", "EUR", 150, "1,50\xa0€"),
    ],
)
def test_money_follows_the_reader_and_the_currency(reader, locale, currency, cents, said):
    reader(locale=locale)
    assert formats.money(cents, currency) == said


@pytest.mark.parametrize(
    ("name", "said"), [("Nisha Kapoor", "NK"), ("Ananya Krishnamurthy Venkataraman", "AV"), ("Cher", "C"), ("佐藤 美咲", "佐美"), (" ", "")]
)
def test_initials_are_two_at_most(name, said):
    assert formats.initials(name) == said
