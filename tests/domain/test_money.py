import pytest

from domain.errors import Invalid
from domain.money import format_money, is_currency, parse_amount, plain_amount, precision

NBSP = "\u00a0"


@pytest.mark.parametrize(("currency", "digits"), [("INR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("IQD", 3), ("LBP", 2)])
def test_it_knows_how_many_decimals_a_currency_has(currency, digits):
    assert precision(currency) == digits


@pytest.mark.parametrize(("code", "known"), [("INR", True), ("XYZ", False), ("inr", False), ("XXX", False), ("", False)])
def test_it_knows_the_currencies_of_iso_4217(code, known):
    assert is_currency(code) is known


class TestFormatMoney:
    @pytest.mark.parametrize(
        ("cents", "currency", "locale", "written"),
        [
            (9845000, "INR", "en_IN", "₹98,450.00"),
            (12345678, "INR", "en_IN", "₹1,23,456.78"),
            (12345678, "INR", "en_US", "₹123,456.78"),
            (9800, "JPY", "ja_JP", "￥9,800"),
            (84250, "KWD", "en_IN", f"KWD{NBSP}84.250"),
            (5, "USD", "en_US", "$0.05"),
            (2**63 - 1, "USD", "en_US", "$92,233,720,368,547,758.07"),
        ],
    )
    def test_it_writes_as_the_locale_does(self, cents, currency, locale, written):
        assert format_money(cents, currency, locale) == written

    def test_it_writes_the_code_where_asked(self):
        assert format_money(84250, "KWD", code=True) == "KWD 84.250"
        assert format_money(9845000, "INR", "de_DE", code=True) == "INR 98.450,00"


class TestPlainAmount:
    @pytest.mark.parametrize(("cents", "currency", "written"), [(9845000, "INR", "98450.00"), (9800, "JPY", "9800"), (5, "KWD", "0.005")])
    def test_it_prefills_a_field_without_grouping(self, cents, currency, written):
        assert plain_amount(cents, currency) == written

    @pytest.mark.parametrize("locale", ["en_IN", "en_US", "de_DE", "fr_FR", "hi_IN", "ja_JP", "ar_KW"])
    @pytest.mark.parametrize("currency", ["INR", "JPY", "KWD"])
    def test_what_it_writes_is_read_back_exactly(self, currency, locale):
        for cents in (1, 99, 123456, 2**53 + 1, 2**63 - 1):
            assert parse_amount(plain_amount(cents, currency, locale), currency, locale) == cents


class TestParseAmount:
    @pytest.mark.parametrize(
        ("text", "currency", "locale", "cents"),
        [
            ("98450", "INR", "en_IN", 9845000),
            (" 98,450.00 ", "INR", "en_IN", 9845000),
            ("1,23,456.7", "INR", "en_IN", 12345670),
            (".5", "USD", "en_US", 50),
            ("1.234,50", "EUR", "de_DE", 123450),
            ("1 234,50", "EUR", "fr_FR", 123450),
            ("84.250", "KWD", "en_IN", 84250),
            ("9800", "JPY", "en_IN", 9800),
        ],
    )
    def test_it_reads_what_people_write(self, text, currency, locale, cents):
        assert parse_amount(text, currency, locale) == cents

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "  ",
            "\0",
            "1\x000",
            "1e3",
            "1_0",
            "-3",
            "+3",
            "١٢",
            "１２",
            "NaN",
            "Infinity",
            "0x10",
            "1,23",
            "0,5",
            "1.2.3",
            ".",
            "₹5",
            "5 USD",
        ],
    )
    def test_it_refuses_what_is_no_amount_or_has_two_readings(self, text):
        with pytest.raises(Invalid, match=r"write digits, as in 1,234\.50"):
            parse_amount(text, "USD", "en_US")

    def test_it_refuses_more_decimals_than_the_currency_has(self):
        with pytest.raises(Invalid, match="JPY has no decimals: write digits, as in 1,23,450"):
            parse_amount("10.5", "JPY", "en_IN")
        with pytest.raises(Invalid, match="USD has 2 decimals"):
            parse_amount("10.500", "USD", "en_US")

    @pytest.mark.parametrize("text", ["92233720368547758.08", "9" * 40])
    def test_it_refuses_what_does_not_fit_64_bits(self, text):
        with pytest.raises(Invalid, match="too large"):
            parse_amount(text, "USD", "en_US")

    def test_it_refuses_endless_digits_at_once(self):
        with pytest.raises(Invalid, match="too long"):
            parse_amount("9" * 10_000, "USD", "en_US")
