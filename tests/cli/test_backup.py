"""`flask backup`."""

import json
import stat

import pytest
from sqlalchemy import select

from domain.audit.models import AuditEntry
from tests.cli.test_admin import refused


@pytest.fixture
def run(app):
    """Runs `flask backup ...` inside this process."""
    runner = app.test_cli_runner()
    return lambda *line: runner.invoke(args=["backup", *map(str, line)])


@pytest.fixture
def key_file(app, tmp_path):
    made = app.test_cli_runner().invoke(args=["backup", "key", str(tmp_path / "backup.key")])
    assert made.exit_code == 0, made.output
    return tmp_path / "backup.key"


def test_create_list_and_verify(run, session):
    assert "There is no backup yet" in run("list").stdout
    made = run("create", "--description", "Before the update")
    assert made.exit_code == 0, made.output
    assert "Verified: " in made.stdout
    assert "not encrypted" in made.stderr
    (row,) = json.loads(run("list", "--json").stdout)["backups"]
    assert (row["description"], row["verified"], row["created_by"]) == ("Before the update", True, "operator at the command line")
    assert row["id"] in run("list").stdout
    assert "is whole" in run("verify", row["id"]).stdout
    assert session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)).all() == ["backup.created", "backup.verified"]


def test_create_with_the_files_of_the_storage(run, app, session, tmp_path):
    session.commit()
    file = tmp_path / "result.csv"
    file.write_bytes(b"id,name")
    app.extensions["storage"].save("exports/result.csv", file)
    made = run("create", "--uploads")
    assert made.exit_code == 0, made.output
    assert "Stored files: 1 (0.0 MB), new: 1, 0.0 MB stored" in made.stdout
    assert "each of 1 stored files read again" in run("verify", made.stdout.split()[1].rstrip(":")).stdout


def test_a_damaged_one_is_said_with_exit_1_and_noted(run, app, session):
    row = json.loads(run("create", "--json").stdout)
    file = next(app.extensions["vault"].catalog.files(row["id"]).glob("*.zst"))
    file.write_bytes(b"nothing of it")
    refused(run("verify", row["id"]), "is not what was stored")
    assert "DAMAGED" in run("list").stdout
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "backup.damaged")).one()
    assert entry.after["ok"] is False


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # which alone has incremental ones without a program of their own
def test_what_stands_on_a_damaged_one_counts_for_nothing(run, app):
    full, part = (json.loads(run("create", *options, "--json").stdout) for options in ((), ("--incremental",)))
    app.extensions["vault"].catalog.files(full["id"]).joinpath("database.zst").write_bytes(b"nothing of it")
    refused(run("verify", full["id"]), "is not what was stored")
    newest = json.loads(run("list", "--json").stdout)["backups"][0]
    assert (newest["id"], newest["state"]) == (part["id"], "cut_off") and "CUT OFF" in run("list").stdout
    assert "there is no verified one" in run("check").stdout
    assert "No moment can be reached" in run("coverage").stdout
    assert json.loads(run("create", "--incremental", "--json").stdout)["effective_type"] == "full"


def test_a_hostile_description_is_kept_and_shown_as_text(run):
    hostile = "\x1b[2Jgone \udcff \u202e"
    assert run("create", "--description", hostile).exit_code == 0
    shown = run("list")
    assert shown.exit_code == 0
    assert "gone" in shown.stdout
    assert not {"\x1b", "\u202e"} & set(shown.stdout)
    (row,) = json.loads(run("list", "--json").stdout)["backups"]
    assert row["description"] == hostile


def test_check_says_what_is_missing(run):
    found = run("check")
    assert found.exit_code == 1
    assert "there is no verified one" in found.stdout
    assert "backups are not encrypted" in found.stdout
    run("create")
    report = json.loads(run("check", "--json").stdout)
    missing = {check["name"] for check in report["checks"] if not check["ok"]}
    assert missing - {"archiver"} == {"backup key"}  # nothing archives in a test, and PostgreSQL needs no process of ours for it


def test_a_key_is_made_once_for_its_owner_alone(run, key_file):
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert "AGE-SECRET-KEY-1" in key_file.read_text()
    refused(run("key", key_file), "cannot be made")


def test_prune_says_what_would_go(run):
    run("create")
    assert json.loads(run("prune", "--dry-run", "--json").stdout) == {"removed": [], "dry_run": True}
    assert "0 are removed" in run("prune").stdout


def test_a_dry_run_of_prune_removes_nothing_at_all(run, app):
    rest = app.extensions["vault"].folder / "somebody-died.unfinished"
    rest.mkdir(parents=True)
    run("prune", "--dry-run")
    assert rest.exists()
    run("prune")
    assert not rest.exists()


def test_an_unknown_one_is_an_error(run):
    refused(run("verify", "550e8400-e29b-41d4-a716-446655440000"), "There is no backup with this id.")


def test_coverage_says_which_moments_can_be_restored(run):
    assert "there is no backup" in run("coverage").stdout
    made = json.loads(run("create", "--json").stdout)
    said = json.loads(run("coverage", "--json").stdout)
    assert said["gaps"] == []
    assert said["earliest"] == said["latest"] == said["spans"][0]["from"]
    assert said["earliest"].startswith(made["snapshot_at"][:19])
    assert said["earliest"] in run("coverage").stdout


def test_a_lost_manifest_is_entered_again(run, app, session):
    row = json.loads(run("create", "--json").stdout)
    folder = app.extensions["vault"].folder
    (folder / f"{row['id']}.json").unlink()
    assert row["id"] in run("list").stderr
    assert f"{row['id']}  " in run("catalog", "rebuild").stdout
    assert json.loads(run("list", "--json").stdout)["backups"][0]["id"] == row["id"]
    assert session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)).all() == ["backup.created", "backup.entered"]
    (folder / f"{row['id']}.json").unlink()
    (folder / row["id"] / "manifest.json").write_text("{}")
    refused = run("catalog", "rebuild", "--json")
    assert refused.exit_code == 1
    assert list(json.loads(refused.stdout)["refused"]) == [row["id"]]
