import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from domain.audit.models import AuditEntry
from domain.marketplace import demo
from domain.marketplace.models import User
from domain.refunds.models import Refund
from tests.domain.import_folders import row, write_csv, write_folder
from tests.factories import make_user

ROOT = Path(__file__).resolve().parent.parent.parent
FLASK = Path(sys.executable).parent / "flask"


@pytest.fixture
def flask(app):
    """Runs a command line in this process, as an operator would type it after `flask`."""

    def run(*arguments: object):
        return app.test_cli_runner().invoke(args=[str(argument) for argument in arguments])

    return run


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "import")


class TestImport:
    def test_it_says_what_was_new_and_what_was_there(self, flask, folder, session):
        first, second = flask("data", "import", folder), flask("data", "import", folder)

        assert (first.exit_code, second.exit_code) == (0, 0)
        assert "users.csv: 2 new, 0 already there\n" in first.stdout
        assert "refund_requests.csv: 1 new, 0 already there\n" in first.stdout
        assert "users.csv: 0 new, 2 already there\n" in second.stdout
        assert (first.stderr, second.stderr) == ("", "")
        assert session.scalar(select(func.count()).select_from(User)) == 2
        assert session.scalars(select(AuditEntry)).one().actor_name == "operator at the command line"

    def test_json_is_one_object_with_counts_per_file(self, flask, folder):
        (folder / "referrals.csv").unlink()
        write_csv(folder, "extra", row("users"))

        answer = json.loads(flask("data", "import", folder, "--json").stdout)

        assert answer["files"]["users"] == {"file": "users.csv", "new": 2, "already_there": 0}
        assert set(answer["files"]) == {"users", "vendors", "bookings", "payments", "refund_requests"}
        assert answer["missing"] == ["referrals"]
        assert answer["ignored"] == ["extra.csv"]

    def test_files_that_are_missing_or_unknown_are_told(self, flask, folder):
        (folder / "referrals.csv").unlink()
        write_csv(folder, "refunds", row("users"))

        answer = flask("data", "import", folder)

        assert "referrals: no such file here, and nothing needed it" in answer.stdout
        assert "refunds.csv: not imported, it is none of the six files" in answer.stderr

    def test_a_bad_row_is_one_line_on_stderr_and_nothing_comes_in(self, flask, folder, session):
        write_csv(folder, "referrals", row("referrals", currency="rupees"))

        answer = flask("data", "import", folder, "--json")

        assert answer.exit_code == 1
        assert answer.stdout == ""
        assert answer.stderr == (
            "Error: referrals.csv line 2, column currency: 'rupees' is no currency of ISO 4217; write a code such as INR\n"
        )
        assert session.scalar(select(func.count()).select_from(User)) == 0

    def test_a_folder_that_is_not_there_is_wrong_usage(self, flask, tmp_path):
        assert flask("data", "import", tmp_path / "nowhere").exit_code == 2

    def test_a_terminal_shows_how_far_it_is(self, folder, settings, app):
        environment = {"PATH": os.defpath, "HOME": str(folder), **settings}
        theirs, ours = pty.openpty()
        done = subprocess.run([FLASK, "data", "import", folder], env=environment, cwd=ROOT, stderr=ours, stdout=subprocess.PIPE, timeout=60)
        os.close(ours)
        shown = os.read(theirs, 100_000).decode()
        os.close(theirs)

        assert done.returncode == 0, shown
        assert "Importing" in shown
        assert "100%" in shown
        assert b"Importing" not in done.stdout


class TestDemo:
    def test_it_prints_the_sign_ins_and_keeps_them_in_a_file(self, flask, settings, session):
        answer = flask("data", "demo", "--refunds", 60)

        assert answer.exit_code == 0, answer.output
        assert "The demo is loaded, with 60 refunds." in answer.stdout
        kept = Path(settings["DATA_DIR"]) / "demo-sign-ins.json"
        rows = json.loads(kept.read_text())
        assert [known["email"] for known in rows] == [known.email for known in demo.SIGN_INS]
        assert all(known["password"] in answer.stdout and known["authenticator secret"] in answer.stdout for known in rows)
        assert session.scalar(select(func.count()).select_from(Refund)) == 60

    def test_a_second_run_changes_nothing_and_prints_them_again(self, flask, settings, session):
        flask("data", "demo", "--refunds", 60)
        kept = Path(settings["DATA_DIR"]) / "demo-sign-ins.json"
        before = kept.read_text()
        kept.unlink()

        answer = flask("data", "demo", "--refunds", 80)

        assert answer.exit_code == 0
        assert "The demo is there already; nothing was changed." in answer.stdout
        assert "super@example.com" in answer.stdout
        assert kept.read_text() == before
        assert session.scalar(select(func.count()).select_from(Refund)) == 60

    def test_json_is_one_object(self, flask):
        first, second = (json.loads(flask("data", "demo", "--refunds", 60, "--json").stdout) for _ in range(2))

        assert (first["loaded"], first["made"]["refunds"]) == (True, 60)
        assert (second["loaded"], second["made"]) == (False, {})
        assert first["sign_ins"] == second["sign_ins"]

    def test_it_refuses_a_database_in_use(self, flask, settings, session):
        make_user(session)
        session.commit()

        answer = flask("data", "demo")

        assert answer.exit_code == 1
        assert answer.stderr.startswith("Error: This database is in use: the demo is only for an empty one.")
        assert not (Path(settings["DATA_DIR"]) / "demo-sign-ins.json").exists()

    def test_it_leaves_a_database_in_use_alone_where_asked(self, flask, settings, session):
        make_user(session)
        session.commit()

        answer = flask("data", "demo", "--if-empty")

        assert answer.exit_code == 0
        assert "the demo is not loaded" in answer.stderr
        assert not (Path(settings["DATA_DIR"]) / "demo-sign-ins.json").exists()
        assert session.scalar(select(func.count()).select_from(Refund)) == 0

    @pytest.mark.parametrize("count", ["0", "-5", "49", "1000000", "many"])
    def test_a_number_that_makes_no_demo_is_wrong_usage(self, flask, count):
        assert flask("data", "demo", "--refunds", count).exit_code == 2


class TestDemoInProduction:
    @pytest.fixture
    def settings(self, settings):
        return settings | {"APP_ENV": "production", "SECRET_KEY": "a" * 64, "PUBLIC_URL": "https://portal.example.com"}

    def test_it_is_refused(self, flask, session):
        answer = flask("data", "demo")

        assert answer.exit_code == 1
        assert "passwords are public" in answer.stderr
        assert session.scalar(select(func.count()).select_from(Refund)) == 0
