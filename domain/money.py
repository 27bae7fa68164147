"""Amounts between minor units and what people read and write.

An amount is an int in the minor units of its currency everywhere but at the edges; no float comes near it.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.core import get_global
from babel.numbers import (
    NumberFormatError,
    NumberPattern,
    get_currency_precision,
    get_currency_symbol,
    get_decimal_symbol,
    get_group_symbol,
    parse_decimal,
    parse_pattern,
)

from domain.errors import Invalid

LARGEST = 2**63 - 1
LONGEST = 40
SPACES = "\u0020\u00a0\u202f\u2009"
NO_MONEY = frozenset({"XXX", "XTS"})  # "no currency" and the code reserved for testing

# Where CLDR gives the digits shops use, and ISO 4217, which the gateways follow, has more.
ISO_DIGITS = {
    **dict.fromkeys(("AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"), 2),
    "IQD": 3,
}


def is_currency(code: str) -> bool:
    """Whether ISO 4217 knows this code."""
    return code in get_global("all_currencies") and code not in NO_MONEY


def precision(currency: str) -> int:
    """How many decimals the currency has: INR 2, JPY 0, KWD 3."""
    return ISO_DIGITS.get(currency, get_currency_precision(currency))


def format_money(cents: int, currency: str, locale: str = "en_IN", code: bool = False) -> str:
    """The amount as people of that locale write it: "₹98,450.00", or with `code` "INR 98,450.00"."""
    return write(cents, currency, locale, "code" if code else "symbol")


def plain_amount(cents: int, currency: str, locale: str = "en_IN") -> str:
    """The amount without sign and grouping, to prefill a field whose content `parse_amount` reads: "98450.00"."""
    return write(cents, currency, locale, "bare")


def parse_amount(text: str, currency: str, locale: str = "en_IN") -> int:
    """What a person wrote in a field, in minor units. Raises Invalid, saying what to write, for anything that has two readings."""
    written = text.strip()
    group, point = get_group_symbol(locale), get_decimal_symbol(locale)
    if group in SPACES:
        written = "".join(group if character in SPACES else character for character in written)
    if not written:
        raise refusal("No amount is given", currency, locale)
    if len(written) > LONGEST:
        raise refusal("That amount is too long", currency, locale)
    if not set(written) <= set("0123456789") | {group, point}:
        raise refusal("That is not an amount", currency, locale)
    try:
        amount = parse_decimal(written, locale=locale, strict=True)
    except NumberFormatError as error:
        raise refusal("That is not how an amount is written", currency, locale) from error
    digits = precision(currency)
    if -int(amount.as_tuple().exponent) > digits:
        raise refusal(f"{currency} has {digits or 'no'} decimals", currency, locale)
    cents = int(amount.scaleb(digits))
    if cents > LARGEST:
        raise refusal("That amount is too large", currency, locale)
    return cents


def refusal(what: str, currency: str, locale: str) -> Invalid:
    return Invalid(f"{what}: write digits, as in {write(123450, currency, locale, 'grouped')}")


def write(cents: int, currency: str, locale: str, form: str) -> str:
    amount = Decimal(cents).scaleb(-precision(currency))
    return str(
        pattern(currency, locale, form).apply(
            amount, Locale.parse(locale), currency=currency, currency_digits=False, group_separator=form != "bare"
        )
    )


@lru_cache(maxsize=512)
def pattern(currency: str, locale: str, form: str) -> NumberPattern:
    """The locale's own pattern with the currency's own number of decimals."""
    known = Locale.parse(locale)
    grouped: str = known.decimal_formats[None].pattern
    symbol: str = known.currency_formats["standard"].pattern
    if get_currency_symbol(currency, locale)[-1].isalpha():
        symbol = symbol.replace("¤#", "¤\u00a0#")  # "KWD 84.250": Babel leaves out the space that CLDR wants after a letter
    found: NumberPattern = parse_pattern({"symbol": symbol, "code": f"¤¤ {grouped}", "grouped": grouped, "bare": grouped}[form])
    found.frac_prec = (precision(currency), precision(currency))
    return found
