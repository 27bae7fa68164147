"""Folders of import files made of a few rows, for tests of the import."""

import csv
import gzip
import io
from pathlib import Path
from uuid import UUID, uuid5

HERE = UUID("6f1c6f0e-2a55-4a43-9d7e-0f6f6a1d3c11")
MOMENT = "2025-01-31T09:30:00Z"


def identifier(name: str) -> str:
    return str(uuid5(HERE, name))


DEFAULTS = {
    "users": {"id": "user", "name": "Asha Rao", "email": "asha@example.com", "created_at": MOMENT, "email_verified_at": ""},
    "vendors": {"id": "vendor", "name": "Spark Cleaning", "created_at": MOMENT, "email": "spark@example.com"},
    "bookings": {
        "id": "booking",
        "booking_number": "BK-2025-000001",
        "user_id": "user",
        "vendor_id": "vendor",
        "status": "completed",
        "created_at": MOMENT,
        "scheduled_at": "",
    },
    "payments": {
        "id": "payment",
        "booking_id": "booking",
        "amount_cents": "50000",
        "currency": "INR",
        "status": "captured",
        "paid_at": MOMENT,
        "provider": "sandbox",
        "provider_payment_id": "pay_1",
        "method": "card",
    },
    "refund_requests": {
        "id": "refund",
        "refund_number": "RF-2025-000041",
        "payment_id": "payment",
        "booking_id": "booking",
        "status": "pending",
        "requested_amount_cents": "30000",
        "reason": "late_service",
        "description": "They came two hours late.",
        "evidence": '[{"type": "photo", "url": "https://evidence.example.com/1.jpg"}]',
        "requested_at": MOMENT,
        "requested_by": "user",
        "priority": "normal",
    },
    "referrals": {
        "id": "referral",
        "referrer_id": "user",
        "referred_user_id": "friend",
        "referral_code": "ASHA1",
        "status": "pending",
        "payout_status": "not_due",
        "reward_amount_cents": "0",
        "currency": "INR",
        "created_at": MOMENT,
        "expires_at": "2025-03-02T09:30:00+05:30",
        "credited_at": "",
        "signup": "true",
        "email_verified": "false",
        "first_booking": "false",
        "minimum_spend": "false",
    },
}


def row(file: str, /, **cells: str) -> dict[str, str]:
    """A good row of this file with these cells instead. In `id` and what refers to one, each letter word stands for one UUID."""
    return {column: identifier(cell) if is_word(column, cell) else cell for column, cell in (DEFAULTS[file] | cells).items()}


def is_word(column: str, cell: str) -> bool:
    refers = column == "id" or (column.endswith("_id") and not column.startswith("provider"))
    return refers and cell.isalnum() and not cell.isdigit()


def csv_of(rows: list[dict[str, str]], end: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_csv(folder: Path, name: str, *rows: dict[str, str], end: str = "\n", compressed: bool = False, bom: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    content = (b"\xef\xbb\xbf" if bom else b"") + csv_of(list(rows), end).encode()
    file = folder / f"{name}.csv{'.gz' if compressed else ''}"
    file.write_bytes(gzip.compress(content) if compressed else content)
    return file


def write_folder(folder: Path, **changes: list[dict[str, str]] | None) -> Path:
    """All six files with one good row each (two users); `changes` gives the rows of a file, None leaves it out."""
    rows = {name: [row(name)] for name in DEFAULTS}
    rows["users"].append(row("users", id="friend", name="Ravi Iyer", email="ravi@example.com"))
    for name, content in (rows | changes).items():
        if content is not None:
            write_csv(folder, name, *content)
    return folder
