import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pyotp
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.audit.models import AuditEntry
from domain.identity.models import Admin
from tests.factories import make_admin

PASSWORD = "correct horse battery"
FLASK = Path(sys.executable).parent / "flask"
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def run(app):
    """Runs `flask ...` inside this process."""
    runner = app.test_cli_runner()

    def run(*line: str, stdin: str | None = f"{PASSWORD}\n"):
        return runner.invoke(args=list(line), input=stdin)

    return run


@pytest.fixture
def create(run):
    def create(email="asha@example.com", role="super_admin", *more: str):
        return run("admin", "create", email, "--name", "Asha Rao", "--role", role, "--password-stdin", *more)

    return create


@pytest.fixture
def login(client):
    def login(email="asha@example.com", password=PASSWORD):
        return client.post("/api/v1/admin/auth/login", json={"email": email, "password": password})

    return login


def audited(engine) -> list[tuple[str, str]]:
    with Session(engine) as session:
        return [(entry.action, entry.actor_name) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.sequence))]


def refused(result, reason: str, exit_code: int = 1) -> None:
    """One line on stderr, nothing on stdout."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert reason in result.stderr
    if exit_code == 1:
        assert len(result.stderr.strip().splitlines()) == 1


class TestCreate:
    def test_the_admin_may_sign_in_at_once(self, create, login, engine):
        result = create()

        assert (result.exit_code, result.stderr) == (0, "")
        assert "asha@example.com may sign in" in result.stdout
        assert login().status_code == 200
        assert audited(engine)[0] == ("admin.created", "operator at the command line")

    def test_json_is_one_object(self, create):
        made = json.loads(create("asha@example.com", "finance_admin", "--json").stdout)

        assert {name: made[name] for name in ("email", "role", "totp_secret")} == {
            "email": "asha@example.com",
            "role": "finance_admin",
            "totp_secret": None,
        }
        assert len(made["id"]) == 36

    def test_totp_gives_a_second_factor_that_works(self, create, login, client):
        made = json.loads(create("asha@example.com", "finance_admin", "--totp", "--json").stdout)
        tokens = login().json["data"]
        assert tokens["mfa"] == {"enrolled": True, "verified": False}

        answer = client.post(
            "/api/v1/admin/auth/mfa",
            json={"code": pyotp.TOTP(made["totp_secret"]).at(datetime.now(UTC))},
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
        )

        assert answer.json["data"]["mfa"]["verified"] is True
        assert made["otpauth_url"].startswith("otpauth://totp/")

    def test_the_password_is_neither_printed_nor_audited(self, create, engine):
        result = create("asha@example.com", "finance_admin", "--totp")

        with Session(engine) as session:
            entries = " ".join(str(vars(entry)) for entry in session.scalars(select(AuditEntry)))
        assert PASSWORD not in result.output + entries

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("no-address", "finance_admin"), "Write an e-mail address"),
            (("a@b\x00", "finance_admin"), "Write an e-mail address"),
            (("asha@example.com", "emperor"), "Write one of content_moderator, finance_admin"),
            (("asha@example.com", "finance_admin\x00"), "There is no such role"),
        ],
    )
    def test_what_is_wrong_is_one_line_that_says_what_to_write(self, create, arguments, reason):
        refused(create(*arguments), reason)

    @pytest.mark.parametrize(
        ("password", "reason"),
        [
            ("short", "8 to 256 characters"),
            ("x" * 257, "8 to 256 characters"),
            ("password", "first passwords anybody would try"),
            ("PassWord1", "first passwords anybody would try"),
            ("aaaaaaaaaaaa", "first passwords anybody would try"),
            ("abcabcabcabc", "first passwords anybody would try"),
            ("asha@example.com", "not the e-mail address"),
            ("ASHA@example.com", "not the e-mail address"),
            ("", "8 to 256 characters"),
            ("with\x07a bell inside", "control characters"),
        ],
    )
    @ON_ONE_DATABASE
    def test_a_password_easily_guessed_is_refused(self, run, password, reason):
        line = ("admin", "create", "asha@example.com", "--name", "Asha", "--role", "super_admin", "--password-stdin")

        refused(run(*line, stdin=f"{password}\n"), reason)

    @pytest.mark.parametrize(
        "password", ["pässwörter für alle", "天地玄黄宇宙洪荒", "👩‍💻👩‍💻👩‍💻 typing", "spaces are fine", "x1" * 100 + "y"]
    )
    @ON_ONE_DATABASE
    def test_any_other_is_fine_however_it_is_written(self, run, login, password):
        line = ("admin", "create", "asha@example.com", "--name", "Asha", "--role", "super_admin", "--password-stdin")

        assert run(*line, stdin=f"{password}\n").exit_code == 0
        assert login(password=password).status_code == 200

    def test_one_accent_or_two_code_points_are_one_password(self, run, login):
        line = ("admin", "create", "asha@example.com", "--name", "Asha", "--role", "super_admin", "--password-stdin")
        run(*line, stdin="caf\u00e9 au lait\n")

        assert login(password="cafe\u0301 au lait").status_code == 200

    def test_an_address_taken_is_refused_in_any_spelling(self, create):
        create()

        refused(create("ASHA@Example.com"), "There is an admin with the address asha@example.com already.")

    def test_wrong_usage_is_exit_2(self, run):
        refused(run("admin", "create", "asha@example.com"), "Missing option '--name'", exit_code=2)

    def test_without_a_terminal_it_says_how_to_give_the_password(self, run):
        refused(run("admin", "create", "a@example.com", "--name", "A", "--role", "super_admin"), "--password-stdin", exit_code=2)

    def test_on_a_terminal_it_asks_twice_and_shows_nothing(self, settings, engine):
        engine.dispose()
        shown = typed(settings, [f"{PASSWORD}\n", f"{PASSWORD}\n"])

        assert "Password:" in shown and "The same again:" in shown
        assert PASSWORD not in shown
        with Session(engine) as session:
            assert session.scalars(select(Admin.email)).all() == ["asha@example.com"]


def typed(settings: dict[str, str], lines: list[str]) -> str:
    """What `flask admin create` shows on a terminal on which these lines are typed, each at its question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [FLASK, "admin", "create", "asha@example.com", "--name", "Asha", "--role", "super_admin"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**settings, "PATH": os.defpath, "HOME": settings["DATA_DIR"]},
        cwd=Path(__file__).parents[2],
    )
    os.close(theirs)
    shown = b""
    questions = 0
    while True:
        try:
            part = os.read(ours, 1000)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
        if questions < len(lines) and shown.count(b":") > questions and shown.rstrip(b" ").endswith(b":"):
            os.write(ours, lines[questions].encode())
            questions += 1
    os.close(ours)
    assert process.wait(30) == 0, shown.decode()
    return shown.decode()


class TestDisable:
    def test_it_ends_every_session_now(self, create, run, login, client):
        create()
        create("ravi@example.com", "finance_admin")
        token = {"Authorization": f"Bearer {login('ravi@example.com').json['data']['access_token']}"}
        assert client.get("/api/v1/admin/me", headers=token).status_code == 200

        assert run("admin", "disable", "Ravi@Example.com").exit_code == 0

        assert client.get("/api/v1/admin/me", headers=token).status_code == 401
        assert login("ravi@example.com").status_code == 401

    def test_the_last_super_admin_stays(self, create, run, login):
        create()

        refused(run("admin", "disable", "asha@example.com"), "the last active super admin")
        assert login().status_code == 200

    def test_one_of_two_may_go(self, create, run):
        create()
        create("ravi@example.com")

        assert run("admin", "disable", "asha@example.com").exit_code == 0
        refused(run("admin", "disable", "ravi@example.com"), "the last active super admin")

    def test_enable_lets_them_in_again(self, create, run, login, engine):
        create()
        create("ravi@example.com")
        run("admin", "disable", "ravi@example.com")

        assert run("admin", "enable", "ravi@example.com").exit_code == 0

        assert login("ravi@example.com").status_code == 200
        assert [action for action, _ in audited(engine)][:4] == ["admin.created", "admin.created", "admin.disabled", "admin.enabled"]

    @pytest.mark.parametrize("command", ["disable", "enable", "reset-mfa", "set-password"])
    def test_an_unknown_address_is_one_line(self, run, command):
        refused(run("admin", command, "nobody@example.com"), "There is no admin with this address")


class TestResetMfa:
    def test_the_next_sign_in_needs_no_second_step(self, create, run, login):
        create("asha@example.com", "super_admin", "--totp")

        assert run("admin", "reset-mfa", "asha@example.com").exit_code == 0

        assert login().json["data"]["mfa"] == {"enrolled": False, "verified": False}


class TestSetPassword:
    def test_the_new_one_counts_and_the_sessions_of_the_old_end(self, create, run, login, client):
        create()
        token = {"Authorization": f"Bearer {login().json['data']['access_token']}"}

        assert run("admin", "set-password", "asha@example.com", "--password-stdin", stdin="another good one\n").exit_code == 0

        assert login().status_code == 401
        assert login(password="another good one").status_code == 200
        assert client.get("/api/v1/admin/me", headers=token).status_code == 401


class TestList:
    def test_it_shows_each(self, create, run):
        create()
        create("ravi@example.com", "finance_admin", "--totp")
        run("admin", "disable", "ravi@example.com")

        first, second = run("admin", "list").stdout.splitlines()
        assert first.split()[:3] == ["asha@example.com", "super_admin", "active"]
        assert second.split()[:3] == ["ravi@example.com", "finance_admin", "disabled"]

    def test_json_is_one_object(self, create, run):
        create()

        shown = json.loads(run("admin", "list", "--json").stdout)
        assert [admin["email"] for admin in shown["admins"]] == ["asha@example.com"]

    def test_an_empty_house_shows_nothing(self, run):
        assert run("admin", "list").stdout == ""


class TestInvite:
    def test_the_link_leads_in_and_no_admin_is_made_before(self, run, client, engine):
        made = json.loads(run("admin", "invite", "Asha@example.com", "--name", "Asha Rao", "--role", "finance_admin", "--json").stdout)

        page = client.get(urlsplit(made["url"]).path)
        assert (page.status_code, "Welcome" in page.text, made["email"]) == (200, True, "asha@example.com")
        with Session(engine) as session:
            assert session.scalars(select(Admin.id)).all() == []
        refused(run("admin", "invite", "asha@example.com", "--name", "Asha", "--role", "finance_admin"), "is invited already")


class TestSetRole:
    def test_it_counts_at_the_next_call(self, create, run, login, client):
        create()
        create("ravi@example.com", "support_agent")
        token = {"Authorization": f"Bearer {login('ravi@example.com').json['data']['access_token']}"}

        assert "is finance_admin from now on" in run("admin", "set-role", "ravi@example.com", "finance_admin").stdout

        assert client.get("/api/v1/admin/me", headers=token).json["data"]["role"]["id"] == "finance_admin"
        refused(run("admin", "set-role", "asha@example.com", "finance_admin"), "the last active super admin")
        refused(run("admin", "set-role", "ravi@example.com", "emperor"), "Write one of content_moderator")


class TestRoles:
    def test_can_names_the_roles_and_the_active_admins(self, create, run):
        create()
        create("ravi@example.com", "finance_admin")
        create("gone@example.com", "finance_admin")
        run("admin", "disable", "gone@example.com")

        found = json.loads(run("roles", "can", "refunds:approve", "--json").stdout)
        assert found["roles"] == ["super_admin", "finance_admin"]
        assert sorted(admin["email"] for admin in found["admins"]) == ["asha@example.com", "ravi@example.com"]
        said = run("roles", "can", "refunds:approve").stdout
        assert "Approve, reject and retry refunds (refunds:approve): 2 of the active admins" in said and "gone@" not in said

    def test_a_name_that_is_no_permission_says_which_may_be_meant(self, run):
        refused(run("roles", "can", "refund:approve"), "Did you mean refunds:approve?")

    def test_list_spells_everything(self, create, run):
        create()
        first = run("roles", "list").stdout.splitlines()[0]
        assert first.split() == ["super_admin", "1", "everything"]


class TestAuditVerify:
    def test_a_whole_chain_is_exit_0(self, create, run):
        create()

        result = run("audit", "verify")
        assert (result.exit_code, "is whole: 1 entries" in result.stdout) == (0, True)

    def test_its_end_can_be_noted_and_held_against_it(self, create, run):
        create()
        end = run("audit", "verify").stdout.splitlines()[-1]
        create("ravi@example.com")

        assert run("audit", "verify", "--noted", end).exit_code == 0
        refused(run("audit", "verify", "--noted", "9:" + "0" * 64), "9 was noted")
        refused(run("audit", "verify", "--noted", "nonsense"), "is not a number and a hash", exit_code=2)

    def test_a_broken_one_is_exit_1_and_names_the_link(self, create, run, engine):
        create()
        with engine.begin() as connection:
            name = "audit_entries_no_update" if engine.dialect.name == "sqlite" else "audit_entries_append_only ON audit_entries"
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql("UPDATE audit_entries SET actor_name = 'nobody'")

        refused(run("audit", "verify"), "broken at entry 1: it was changed")
        result = run("audit", "verify", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["broken"] == {"sequence": 1, "what": "it was changed"}

    def test_json_is_one_object(self, run):
        assert json.loads(run("audit", "verify", "--json").stdout) == {
            "whole": True,
            "entries": 0,
            "head": {"sequence": 0, "hash": "0" * 64},
            "broken": None,
        }


@pytest.mark.parametrize(
    "command",
    [("admin", name) for name in ("create", "invite", "list", "set-role", "disable", "enable", "reset-mfa", "set-password")]
    + [("audit", "verify"), ("roles", "list"), ("roles", "can")],
    ids=" ".join,
)
@ON_ONE_DATABASE
def test_each_help_has_an_example(run, command):
    assert f"Example: flask {' '.join(command)}" in run(*command, "--help").stdout


def test_nobody_can_be_made_an_admin_with_a_password_nobody_could_have_hashed(app, engine, login):
    with Session(engine) as session:
        make_admin(session, email="asha@example.com")
        session.commit()

    assert login(password="!").status_code == 401
