import gzip
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from domain.access import operator
from domain.audit.models import AuditEntry
from domain.errors import Forbidden, Invalid
from domain.marketplace.csv_files import BadFile
from domain.marketplace.importing import import_folder, open_folder
from domain.marketplace.models import Booking, Payment, Referral, User, Vendor
from domain.refunds.commands.request import next_number
from domain.refunds.models import Refund, RefundAttempt, RefundNumber
from domain.refunds.reconcile import wanted as reconciliation_wanted
from tests.domain.import_folders import csv_of, identifier, row, write_csv, write_folder
from tests.factories import actor_for, make_admin, make_refund


def run(session, folder, **options):
    """Import as the command line does: one transaction, gone at the first fault."""
    try:
        counts = import_folder(session, operator(), open_folder(folder), **options)
    except Exception:
        session.rollback()
        raise
    session.commit()
    return {count.name: (count.new, count.already_there) for count in counts if count.file}


def fault(session, folder) -> BadFile:
    with pytest.raises(BadFile) as caught:
        run(session, folder)
    assert everything(session) == 0, "a refused import left rows behind"
    return caught.value


def place(error: BadFile) -> tuple[object, object, object]:
    return error.details["file"], error.details["line"], error.details["column"]


def everything(session) -> int:
    return sum(session.scalar(select(func.count()).select_from(model)) for model in (User, Vendor, Booking, Payment, Refund, Referral))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "import"


class TestImport:
    def test_it_takes_in_all_six_files(self, session, folder):
        counts = run(session, write_folder(folder))

        assert counts == {
            "users": (2, 0),
            "vendors": (1, 0),
            "bookings": (1, 0),
            "payments": (1, 0),
            "refund_requests": (1, 0),
            "referrals": (1, 0),
        }
        refund = session.scalars(select(Refund)).one()
        assert (refund.user_id, refund.vendor_id, refund.currency) == (UUID(identifier("user")), UUID(identifier("vendor")), "INR")
        assert refund.requested_at == datetime(2025, 1, 31, 9, 30, tzinfo=UTC)
        assert refund.evidence == [{"type": "photo", "url": "https://evidence.example.com/1.jpg"}]
        assert (refund.version, refund.status, refund.processing_state) == (1, "pending", None)
        assert session.scalars(select(Referral.expires_at)).one() == datetime(2025, 3, 2, 4, 0, tzinfo=UTC)

    def test_a_second_run_changes_nothing(self, session, folder):
        run(session, write_folder(folder))

        again = run(session, folder)

        assert all(new == 0 for new, _ in again.values())
        assert again["users"] == (0, 2)
        assert session.scalar(select(func.count()).select_from(AuditEntry)) == 1

    def test_it_is_one_entry_of_the_audit(self, session, folder):
        run(session, write_folder(folder))

        entry = session.scalars(select(AuditEntry)).one()
        assert entry.action == "data.imported"
        assert entry.details == {"users": 2, "vendors": 1, "bookings": 1, "payments": 1, "refund_requests": 1, "referrals": 1}

    def test_it_needs_the_permission(self, session, folder):
        with pytest.raises(Forbidden):
            import_folder(session, actor_for(make_admin(session)), open_folder(write_folder(folder)))

    def test_later_files_may_refer_to_earlier_imports(self, session, folder, tmp_path):
        run(session, write_folder(folder, refund_requests=None, referrals=None))
        second = tmp_path / "second"
        write_csv(second, "refund_requests", row("refund_requests"))

        assert run(session, second) == {"refund_requests": (1, 0)}

    def test_rows_beyond_one_batch_are_counted_and_kept(self, session, folder):
        users = [row("users", id=f"user{n}", email=f"user{n}@example.com") for n in range(2503)]
        read = []
        write_csv(folder, "users", *users)

        assert run(session, folder, progress=read.append) == {"users": (2503, 0)}
        assert sum(read) == (folder / "users.csv").stat().st_size

    def test_it_reads_gzip_bom_crlf_and_columns_in_any_order(self, session, folder):
        user = row("users")
        write_csv(folder, "users", dict(reversed(user.items())), compressed=True, bom=True, end="\r\n")

        assert run(session, folder) == {"users": (1, 0)}
        assert session.scalars(select(User.email)).one() == "asha@example.com"

    def test_an_optional_column_may_be_missing(self, session, folder):
        vendor, payment = row("vendors"), row("payments")
        del vendor["email"], payment["method"]
        run(session, write_folder(folder, vendors=[vendor], payments=[payment]))

        assert session.scalars(select(Vendor.email)).one() is None
        assert run(session, folder)["vendors"] == (0, 1)

    @pytest.mark.parametrize(
        "text",
        [
            'She said "tomorrow",\r\nthen "never".\n\nThree lines later…',
            "घर साफ नहीं हुआ 😡👎🏽",
            "لم يحضر أحد \u202eمطلقا",
            "<script>alert(1)</script>' OR 1=1 --",
            "=HYPERLINK(1)",
            "x" * 20_000,
        ],
    )
    def test_what_customers_write_comes_in_unchanged(self, session, folder, text):
        run(session, write_folder(folder, refund_requests=[row("refund_requests", description=text)]))

        assert session.scalars(select(Refund.description)).one() == text

    def test_a_payment_of_nothing_is_a_payment(self, session, folder):
        run(session, write_folder(folder, payments=[row("payments", amount_cents="0")], refund_requests=None))

        assert session.scalars(select(Payment.amount_cents)).one() == 0


class TestRefundsDecidedElsewhere:
    @pytest.mark.parametrize(
        ("status", "approved", "state"), [("approved", 30000, None), ("processed", 30000, "done"), ("rejected", None, None)]
    )
    def test_nothing_here_ever_pays_them(self, session, folder, status, approved, state):
        run(session, write_folder(folder, refund_requests=[row("refund_requests", status=status)]))

        refund = session.scalars(select(Refund)).one()
        assert (refund.status, refund.approved_amount_cents, refund.processing_state) == (status, approved, state)
        assert refund.transaction_id is None
        assert session.scalar(select(func.count()).select_from(RefundAttempt)) == 0
        assert not reconciliation_wanted(session)

    def test_a_decision_made_here_since_is_no_difference(self, session, folder):
        run(session, write_folder(folder))
        session.execute(update(Refund).values(status="rejected"))
        session.commit()

        assert run(session, folder)["refund_requests"] == (0, 1)
        assert session.scalars(select(Refund.status)).one() == "rejected"

    def test_a_decision_made_elsewhere_since_is_one(self, session, folder):
        run(session, write_folder(folder))
        write_csv(folder, "refund_requests", row("refund_requests", status="rejected"))

        with pytest.raises(BadFile, match="in the database with 'pending', and here it has 'rejected'"):
            run(session, folder)

    def test_the_portal_goes_on_numbering_after_the_highest(self, session, folder):
        year = datetime.now(UTC).year
        numbers = [f"RF-{year}-000041", f"RF-{year}-001234", f"RF-{year - 1}-009999", "OLD-7"]
        rows = [row("refund_requests", id=f"refund{n}", refund_number=number) for n, number in enumerate(numbers)]
        run(session, write_folder(folder, refund_requests=rows))

        assert next_number(session) == f"RF-{year}-001235"
        assert session.get_one(RefundNumber, year - 1).last == 9999

    def test_a_number_already_given_out_is_not_given_again(self, session, folder):
        year = datetime.now(UTC).year
        session.add(RefundNumber(year=year, last=5000))
        session.commit()
        run(session, write_folder(folder, refund_requests=[row("refund_requests", refund_number=f"RF-{year}-000041")]))

        assert next_number(session) == f"RF-{year}-005001"


class TestBadRows:
    @pytest.mark.parametrize(
        ("file", "column", "cell", "hint"),
        [
            ("users", "id", "17", "is no UUID; write one such as"),
            ("users", "id", "", "needs a value in every row"),
            ("users", "name", "   ", "nothing but spaces"),
            ("users", "name", "Asha\nBcc: all@example.com", "write it on one line"),
            ("users", "name", "x" * 301, "has 301 characters; write at most 300"),
            ("users", "email", "asha at example", "is no e-mail address"),
            ("users", "created_at", "2025-01-31 09:30", "is no time with a zone; write one such as"),
            ("users", "created_at", "2025-01-31T09:30:00", "is no time with a zone"),
            ("users", "created_at", "2025-02-30T09:30:00Z", "is no time with a zone"),
            ("users", "created_at", "0001-01-01T00:00:00+14:00", "is no time with a zone"),
            ("payments", "amount_cents", "12.50", "write minor units as a whole number from 0"),
            ("payments", "amount_cents", "-1", "write minor units"),
            ("payments", "amount_cents", "١٢", "write minor units"),
            ("payments", "amount_cents", "9223372036854775808", "to 9223372036854775807"),
            ("payments", "amount_cents", "9" * 5000, "write minor units"),
            ("payments", "currency", "XYZ", "is no currency of ISO 4217"),
            ("payments", "provider", "paypal", "write one of sandbox, stripe, razorpay"),
            ("refund_requests", "requested_amount_cents", "0", "whole number from 1"),
            ("refund_requests", "requested_amount_cents", "50001", "is more than the payment's 50000; write at most that"),
            ("refund_requests", "status", "paid", "write one of pending, approved, rejected, processed"),
            ("refund_requests", "priority", "asap", "write one of low, normal, high, urgent"),
            ("refund_requests", "description", "a\0b", "NUL character; leave it out"),
            ("refund_requests", "description", "x" * 20_001, "write at most 20000"),
            ("refund_requests", "evidence", "photo.jpg", "is no JSON list"),
            ("refund_requests", "evidence", "[" * 60_000, "is no JSON list"),
            ("refund_requests", "evidence", "{}", "is no JSON list"),
            ("refund_requests", "evidence", '[{"url": "https://a.example"}]', "item 1 is no link"),
            ("refund_requests", "evidence", '[{"type": "a", "url": "https://a.example", "x": "y"}]', "no other keys"),
            ("refund_requests", "evidence", '[{"type": "a", "url": "http://a.example"}]', "begins with https://"),
            ("refund_requests", "evidence", '[{"type": "a", "url": "javascript:alert(1)"}]', "begins with https://"),
            ("refund_requests", "evidence", '[{"type": "a", "url": "https://u:p@a.example"}]', "without spaces and passwords"),
            ("refund_requests", "evidence", '[{"type": "a", "url": "https://"}]', "begins with https://"),
            ("refund_requests", "evidence", r'[{"type": "a", "url": "https://a.example/\ud800"}]', "begins with https://"),
            ("refund_requests", "evidence", r'[{"type": "\u0000", "url": "https://a.example"}]', "write a word"),
            ("referrals", "signup", "yes", "write true or false"),
            ("referrals", "referred_user_id", "user", "it is the referrer"),
        ],
    )
    def test_the_fault_is_named_by_file_line_and_column(self, session, folder, file, column, cell, hint):
        error = fault(session, write_folder(folder, **{file: [row(file, **{column: cell})]}))

        assert place(error) == (f"{file}.csv", 2, column)
        assert hint in error.message
        assert error.message.startswith(f"{file}.csv line 2, column {column}: ")
        assert len(error.message) < 500

    def test_the_line_is_the_one_where_the_record_begins(self, session, folder):
        first = row("refund_requests", description="one\r\ntwo\n\n\nfive")
        bad = row("refund_requests", id="other", refund_number="RF-2025-000042", priority="asap", description="a\nb")

        error = fault(session, write_folder(folder, refund_requests=[first, bad]))

        assert place(error) == ("refund_requests.csv", 7, "priority")

    @pytest.mark.parametrize(
        ("file", "column", "hint"),
        [
            ("bookings", "user_id", "it is not in users.csv and is not in the database"),
            ("bookings", "vendor_id", "it is not in vendors.csv"),
            ("payments", "booking_id", "it is not in bookings.csv"),
            ("refund_requests", "payment_id", "it is not in payments.csv"),
            ("refund_requests", "booking_id", "it is not in bookings.csv"),
            ("referrals", "referrer_id", "it is not in users.csv"),
        ],
    )
    def test_what_a_row_refers_to_must_be_there(self, session, folder, file, column, hint):
        error = fault(session, write_folder(folder, **{file: [row(file, **{column: "nobody"})]}))

        assert place(error) == (f"{file}.csv", 2, column)
        assert hint in error.message

    def test_a_missing_file_is_named_where_it_is_needed(self, session, folder):
        error = fault(session, write_folder(folder, vendors=None))

        assert place(error) == ("bookings.csv", 2, "vendor_id")
        assert "there is no vendors.csv here" in error.message

    def test_a_refund_names_the_booking_of_its_payment(self, session, folder):
        bookings = [row("bookings"), row("bookings", id="other", booking_number="BK-2")]
        error = fault(session, write_folder(folder, bookings=bookings, refund_requests=[row("refund_requests", booking_id="other")]))

        assert place(error) == ("refund_requests.csv", 2, "booking_id")
        assert f"the payment is for the booking {identifier('booking')}" in error.message

    @pytest.mark.parametrize(
        ("file", "again", "column"),
        [
            ("users", {"name": "Another"}, "id"),
            ("bookings", {"id": "second"}, "booking_number"),
            ("payments", {"id": "second"}, "provider_payment_id"),
            ("refund_requests", {"id": "second"}, "refund_number"),
        ],
    )
    def test_nothing_is_there_twice_in_a_file(self, session, folder, file, again, column):
        error = fault(session, write_folder(folder, **{file: [row(file), row(file, **again)]}))

        assert place(error) == (f"{file}.csv", 3, column)
        assert "is on line 2 already" in error.message

    def test_the_same_row_beyond_a_batch_is_found_too(self, session, folder):
        users = [row("users", id=f"user{n}") for n in range(1200)]
        error = fault(session, write_folder(folder, users=[*users, users[3]], bookings=None, payments=None, refund_requests=None))

        assert place(error) == ("users.csv", 1202, "id")
        assert "is on line 5 already" in error.message

    @pytest.mark.parametrize(
        ("file", "column"), [("bookings", "booking_number"), ("payments", "provider_payment_id"), ("refund_requests", "refund_number")]
    )
    def test_a_number_of_another_row_in_the_database_is_refused(self, session, folder, file, column):
        run(session, write_folder(folder))
        write_csv(folder, file, row(file, id="second"))

        with pytest.raises(BadFile, match="belongs to the row") as caught:
            run(session, folder)
        assert place(caught.value) == (f"{file}.csv", 2, column)

    def test_other_content_than_in_the_database_is_refused(self, session, folder):
        run(session, write_folder(folder))
        write_csv(folder, "bookings", row("bookings", status="cancelled"))

        with pytest.raises(BadFile, match="in the database with 'completed', and here it has 'cancelled'") as caught:
            run(session, folder)
        assert place(caught.value) == ("bookings.csv", 2, "status")
        assert session.scalars(select(Booking.status)).one() == "completed"


class TestBadFiles:
    def write(self, folder, content: bytes, name: str = "users.csv"):
        folder.mkdir()
        (folder / name).write_bytes(content)
        return folder

    @pytest.mark.parametrize(
        ("header", "column", "hint"),
        [
            ("id,name,email,created_at,email_verified_at,phone", "'phone'", "this column is not known; the columns are id, name"),
            ("id,name,email,created_at", "email_verified_at", "this column is missing"),
            ("id,name,name,email,created_at,email_verified_at", "name", "is there twice"),
            ("", None, "there is no header row; write id, name"),
        ],
    )
    def test_the_header_is_checked(self, session, folder, header, column, hint):
        error = fault(session, self.write(folder, f"{header}\n".encode()))

        assert place(error) == ("users.csv", 1, column)
        assert hint in error.message

    @pytest.mark.parametrize("cells", [4, 6])
    def test_a_row_of_another_length_is_refused(self, session, folder, cells):
        header = "id,name,email,created_at,email_verified_at\n"
        error = fault(session, self.write(folder, (header + ",".join("x" * cells)).encode()))

        assert f"it has {cells} cells, the header 5" in error.message

    def test_an_empty_line_is_no_row(self, session, folder):
        self.write(folder, csv_of([row("users")]).replace("\n", "\n\n").encode())

        assert run(session, folder) == {"users": (1, 0)}

    @pytest.mark.parametrize(
        ("content", "line", "hint"),
        [
            (csv_of([row("users"), row("users", id="b", name="X")]).encode().replace(b"X", b"\xff"), 3, "it is not UTF-8 (bytes ff)"),
            (csv_of([row("users", name="X")]).encode().replace(b"X", b"\xed\xa0\x80"), 2, "it is not UTF-8"),
            (csv_of([row("users", name="X")]).encode("utf-16"), 1, "it is not UTF-8"),
            (csv_of([row("users", name="X")]).encode().replace(b"X", b'"never closed'), 2, "it is not CSV from here on"),
            (csv_of([row("users", name="X")]).encode().replace(b"X", b'"half" closed'), 2, "it is not CSV from here on"),
            (csv_of([row("users", name="X")]).encode().replace(b"X", b"x" * 200_000), 2, "it is not CSV from here on"),
            (csv_of([row("users", name="X")]).encode().replace(b"X", b"x" * 2_000_000), 2, "longer than a megabyte"),
            (csv_of([row("users")]).replace("\n", "\r").encode(), 1, "end lines with LF or CRLF"),
        ],
        ids=["byte", "surrogate", "utf-16", "open quote", "half quote", "long cell", "long line", "lone CR"],
    )
    def test_what_is_not_csv_in_utf_8_is_refused_with_its_line(self, session, folder, content, line, hint):
        error = fault(session, self.write(folder, content))

        assert place(error)[:2] == ("users.csv", line)
        assert hint in error.message

    def test_a_cut_gzip_file_is_refused(self, session, folder):
        content = gzip.compress(csv_of([row("users", id=f"u{n}") for n in range(2000)]).encode())
        error = fault(session, self.write(folder, content[: len(content) // 2], "users.csv.gz"))

        assert "it is no whole gzip file" in error.message

    def test_what_is_no_gzip_file_is_refused(self, session, folder):
        error = fault(session, self.write(folder, b"id,name", "users.csv.gz"))

        assert "it is no whole gzip file" in error.message

    def test_a_folder_without_import_files_is_refused(self, folder):
        folder.mkdir()
        with pytest.raises(Invalid, match=r"needs one or more of users\.csv, vendors\.csv"):
            open_folder(folder)

    def test_a_file_in_both_forms_is_refused(self, folder):
        write_csv(write_folder(folder), "users", row("users"), compressed=True)
        with pytest.raises(BadFile, match=r"there is users\.csv as well; leave one of them"):
            open_folder(folder)

    def test_files_that_look_like_imports_and_are_none_are_told(self, folder):
        write_folder(folder, referrals=None)
        (folder / "refunds.csv").touch()
        (folder / "README.md").touch()

        found = open_folder(folder)
        assert found.ignored == ["refunds.csv"]
        assert found.missing == ["referrals"]


def test_a_fault_in_the_last_file_leaves_nothing(session, folder):
    make_refund(session)
    session.commit()
    before = everything(session)

    with pytest.raises(BadFile):
        run(session, write_folder(folder, referrals=[row("referrals", currency="??")]))

    assert everything(session) == before
    assert session.scalar(select(func.count()).select_from(AuditEntry)) == 0
