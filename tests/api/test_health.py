"""How the portal says that it is: to dashboards, to probes and to Prometheus; with everything there, and with something away."""

import re
import socket
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text

import config
from adapters.backups import make_vault
from domain.access import Permission
from domain.backups.manifest import BackupType
from domain.backups.vault import Archiving, Wish
from domain.db import now
from domain.health import storage_usage
from domain.jobs import workers
from domain.jobs.commands import enqueue
from domain.roles.models import Role
from domain.traffic import writing
from domain.traffic.recording import Batch
from tests.factories import make_refund
from tests.standins.s3 import KEY_ID, SECRET, S3StandIn
from tests.waiting import wait_until, within
from wsgi import create_app

HEALTH = "/api/v1/admin/system/health"
PASSWORD = "s3cret-hidden"
LIMIT = 3.0
TOKEN = "a-token-for-the-monitor"


@pytest.fixture
def well(session):
    workers.beat(session, uuid4(), host="here", pid=7, threads=4, jobs_running=1)
    session.commit()


@pytest.fixture
def silent():
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@pytest.fixture
def with_settings(settings):
    """A client of a portal with more settings; sharing the key, it takes the tokens of the other."""
    return lambda **more: create_app(config.load({**settings, **more})).test_client()


def timed(client, headers):
    return within(LIMIT, lambda: client.get(HEALTH, headers=headers))


class TestWhatIsTold:
    def test_every_figure_of_the_sample_is_there_and_measured(self, client, bearer, session, well, engine):
        failed = enqueue(session, "notification")
        failed.status, failed.finished_at = "failed", now() - timedelta(hours=2)
        enqueue(session, "notification", run_after=now() - timedelta(seconds=40))
        enqueue(session, "notification", run_after=now() + timedelta(hours=1))
        session.commit()
        client.get("/login")
        answer = timed(client, bearer(Permission.SYSTEM_HEALTH))
        assert answer.status_code == 200
        assert answer.json["success"] is True
        data = answer.json["data"]
        assert (data["status"], data["version"], data["environment"]) == ("healthy", config.VERSION, "test")
        assert data["timestamp"].endswith("Z")
        services, metrics = data["services"], data["metrics"]
        assert [found["status"] for found in services.values()] == ["healthy", "not_configured", "healthy", "healthy", "healthy"]
        assert services["redis"] == {"status": "not_configured"}
        connections = services["database"]["connections"]
        assert services["database"]["latency_ms"] > 0
        if engine.dialect.name == "postgresql":
            assert connections["active"] >= 1 and connections["idle"] >= 1 and connections["max"] == 300
            assert "reasons" not in services["database"]
        else:
            assert set(connections.values()) == {None}
            assert set(services["database"]["reasons"]) == {f"connections.{name}" for name in connections}
        assert services["storage"]["provider"] == "local"
        assert 0 < services["storage"]["used_gb"] < services["storage"]["quota_gb"]
        queue = {
            name: services["queue"][name] for name in ("pending_jobs", "due_jobs", "processing_jobs", "failed_jobs_24h", "workers_alive")
        }
        assert queue == {"pending_jobs": 2, "due_jobs": 1, "processing_jobs": 0, "failed_jobs_24h": 1, "workers_alive": 1}
        assert 40 <= services["queue"]["oldest_wait_seconds"] < 100
        assert metrics["request_count_24h"] == 1
        assert metrics["avg_response_time_ms"] > 0
        assert (metrics["error_rate_percent"], metrics["error_count_24h"]) == (0, 0)
        assert 0 <= metrics["uptime_seconds"] < 100

    def test_what_cannot_be_known_is_null_with_a_reason(self, client, bearer):
        data = timed(client, bearer(Permission.SYSTEM_HEALTH)).json["data"]
        for part in (*data["services"].values(), data["metrics"]):
            missing = {name for name, value in part.items() if value is None and name != "error"}
            missing |= {f"connections.{name}" for name, value in part.get("connections", {}).items() if value is None}
            assert missing == set(part.get("reasons", {}))

    def test_a_portal_without_workers_is_degraded(self, client, bearer):
        data = timed(client, bearer(Permission.SYSTEM_HEALTH)).json["data"]
        assert data["status"] == "degraded"
        assert (data["services"]["queue"]["status"], data["services"]["queue"]["error"]) == ("unhealthy", "No worker is running")

    def test_backups_are_ill_when_the_newest_that_can_be_restored_is_old(self, with_settings, bearer, session, well, settings, monkeypatch):
        headers, vault = bearer(Permission.SYSTEM_HEALTH), make_vault(config.load(settings))

        def told(**more):
            data = timed(with_settings(**more), headers).json["data"]
            return data["status"], data["services"]["backups"]["error"], data["services"]["backups"]["newest_age_seconds"]

        assert told() == ("healthy", None, None)
        roles = session.scalars(select(Role)).all()
        for role in roles:
            role.created_at = now() - timedelta(hours=27)
        session.commit()
        assert told() == ("degraded", "No backup was made yet", None)
        made = vault.create(Wish(uuid4(), BackupType.FULL, None, "System"), lambda percent, stage: None)
        assert told()[:2] == ("healthy", None)
        vault.catalog.write(replace(made, snapshot_at=now() - timedelta(hours=27)))
        assert told()[:2] == ("degraded", "The newest verified backup is more than 26 hours old")
        assert told()[2] >= 27 * 3600
        assert told(BACKUP_EVERY_HOURS="168")[0] == "healthy"
        scraped = with_settings(METRICS_TOKEN=TOKEN).get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
        assert 'portal_backups{state="verified"} 1' in scraped
        assert re.search(r"^portal_backup_age_seconds 97\d{3}$", scraped, re.MULTILINE)
        for running, said in ((True, None), (False, "What changes between backups is not kept any more")):
            vault.catalog.write(made)
            kept = Archiving(running, now())
            monkeypatch.setattr(type(vault), "archiving", lambda self, kept=kept: kept)
            assert told()[1] == said
        vault.catalog.write(made.with_verification(False, "damaged", now()))
        assert told() == ("degraded", "No backup can be restored", None)

    def test_redis_tells_its_memory(self, with_settings, bearer, redis, well):
        headers = bearer(Permission.SYSTEM_HEALTH)
        told = timed(with_settings(REDIS_URL=redis.url), headers).json["data"]["services"]["redis"]
        assert told["status"] == "healthy"
        assert told["latency_ms"] > 0 and told["memory_used_mb"] > 0
        assert told["memory_max_mb"] is None and "limit" in told["reasons"]["memory_max_mb"]
        redis.client.config_set("maxmemory", 64 * 1024 * 1024)
        try:
            told = timed(with_settings(REDIS_URL=redis.url), headers).json["data"]["services"]["redis"]
        finally:
            redis.client.config_set("maxmemory", 0)
        assert told["memory_max_mb"] == 64
        assert "reasons" not in told

    def test_a_bucket_tells_what_a_worker_has_counted(self, with_settings, bearer, session, well, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        headers = bearer(Permission.SYSTEM_HEALTH)
        with S3StandIn() as s3:
            url = f"s3://{s3.bucket}/portal"
            client = with_settings(STORAGE_URL=url, S3_ENDPOINT_URL=s3.url)
            client.application.extensions["storage"].check()  # a client's first call loads a library
            told = timed(client, headers).json["data"]["services"]["storage"]
            assert (told["status"], told["provider"], told["used_gb"], told["quota_gb"]) == ("healthy", "s3", None, None)
            assert set(told["reasons"]) == {"used_gb", "quota_gb", "files_gb", "files_count", "files_counted_at"}
            storage_usage.note(session, url, files=3, size=1_500_000_000)
            session.commit()
            told = timed(client, headers).json["data"]["services"]["storage"]
            assert (told["used_gb"], told["files_count"]) == (1.5, 3)
            assert set(told["reasons"]) == {"quota_gb"}
        gone = with_settings(STORAGE_URL=url, S3_ENDPOINT_URL=s3.url)
        answer = timed(gone, headers)
        assert (answer.status_code, answer.json["data"]["status"]) == (200, "degraded")

        def reason():
            return timed(gone, headers).json["data"]["services"]["storage"]["error"]

        said = "The files could not be listed: the storage could not be reached"
        wait_until(lambda: reason() == said, "the storage's own answer, which may take longer than anybody waits for it", seconds=30)

    def test_a_folder_that_is_none_is_unhealthy(self, client, bearer, settings, tmp_path, well):
        (tmp_path / "data" / "storage").write_text("a file where the folder belongs")
        data = timed(client, bearer(Permission.SYSTEM_HEALTH)).json["data"]
        assert (data["status"], data["services"]["storage"]["status"]) == ("degraded", "unhealthy")

    def test_whoever_lacks_the_permission_is_told_nothing(self, client, bearer):
        refused = client.get(HEALTH, headers=bearer(Permission.JOBS_LIST))
        assert (refused.status_code, refused.json["error"]["required_permission"]) == (403, "system:health")
        assert client.get(HEALTH).status_code == 401


class TestWithoutTheDatabase:
    SAMPLE = {"database": {"status", "error"}, "redis": {"status"}}

    def check(self, answer, error):
        assert answer.status_code == 503
        assert set(answer.json) == {"success", "data"}
        assert (answer.json["success"], answer.json["data"]["status"]) == (False, "unhealthy")
        services = answer.json["data"]["services"]
        assert {name: set(found) for name, found in services.items()} == self.SAMPLE
        assert services["database"]["error"] == error
        for secret in (PASSWORD, "127.0.0.1", "portal_user", "postgresql://", "psycopg2"):
            assert secret not in answer.text

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_port_nobody_listens_on_and_one_that_never_answers(self, with_settings, bearer, silent):
        headers = bearer(Permission.SYSTEM_HEALTH)
        refusing = with_settings(DATABASE_URL=f"postgresql://portal_user:{PASSWORD}@127.0.0.1:1/portal")
        self.check(timed(refusing, headers), "Connection refused")
        hanging = with_settings(DATABASE_URL=f"postgresql://portal_user:{PASSWORD}@127.0.0.1:{silent}/portal")
        for _ in range(3):
            self.check(timed(hanging, headers), "Connection timeout")
        assert within(LIMIT, lambda: hanging.get("/readyz")).status_code == 503
        everything = with_settings(
            DATABASE_URL=f"postgresql://portal_user:{PASSWORD}@127.0.0.1:{silent}/portal",
            REDIS_URL=f"redis://:{PASSWORD}@127.0.0.1:{silent}/0",
            STORAGE_URL="s3://bucket/portal",
            S3_ENDPOINT_URL=f"http://127.0.0.1:{silent}",
        )
        answer = timed(everything, headers)
        assert answer.json["data"]["services"]["redis"] == {"status": "unhealthy", "error": "Connection timeout"}
        assert PASSWORD not in answer.text

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_only_a_signature_of_ours_admits(self, with_settings, bearer, app):
        good = bearer(Permission.JOBS_LIST)
        away = with_settings(DATABASE_URL=f"postgresql://portal_user:{PASSWORD}@127.0.0.1:1/portal")
        self.check(timed(away, good), "Connection refused")  # whose role nobody can look up
        forged = {"Authorization": good["Authorization"][:-4] + "AAAA"}
        assert [away.get(HEALTH, headers=headers).status_code for headers in ({}, forged)] == [401, 401]

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_file_that_is_missing_is_not_made(self, with_settings, bearer, tmp_path):
        client = with_settings(DATABASE_URL=f"sqlite:///{tmp_path / 'nowhere.db'}")
        self.check(timed(client, bearer(Permission.SYSTEM_HEALTH)), "Its file is missing")
        assert not (tmp_path / "nowhere.db").exists()

    def test_a_schema_of_another_version_is_no_database_for_us(self, client, bearer, session):
        headers = bearer(Permission.SYSTEM_HEALTH)
        session.execute(text("UPDATE alembic_version SET version_num = '0007'"))
        session.commit()
        self.check(timed(client, headers), "Its schema is not the one this version needs")
        assert client.get("/readyz").json["reason"].startswith("The database's schema is not the one")

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_redis_that_is_away_leaves_the_portal_degraded(self, with_settings, bearer, silent, well):
        for port, error in ((1, "Connection refused"), (silent, "Connection timeout")):
            answer = timed(with_settings(REDIS_URL=f"redis://:{PASSWORD}@127.0.0.1:{port}/0"), bearer(Permission.SYSTEM_HEALTH))
            assert (answer.status_code, answer.json["data"]["status"]) == (200, "degraded")
            assert answer.json["data"]["services"]["redis"] == {"status": "unhealthy", "error": error}
            assert PASSWORD not in answer.text


SAMPLE = re.compile(r"([a-z_]+)(?:\{((?:[a-z_]+=\"(?:[^\"\\\n]|\\[\\\"n])*\",?)*)\})? (\S+)")


def parsed(exposition):
    """The exposition's families, read by the rules of the format: kind and samples by name and labels."""
    families, samples, kind = {}, {}, None
    assert exposition.endswith("\n")
    for line in exposition.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families, "a family's lines stand together"
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name and kind in ("counter", "gauge", "histogram")
            families[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1].removeprefix(name) in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)), line
            assert (found[1], found[2] or "") not in samples, "a sample is there once"
            samples[found[1], found[2] or ""] = float(found[3])
    return families, samples


class TestMetrics:
    @pytest.fixture
    def settings(self, settings):
        return {**settings, "METRICS_TOKEN": TOKEN}

    @pytest.fixture
    def scrape(self, client):
        def once():
            answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert (answer.status_code, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
            return parsed(answer.text)

        return once

    def test_every_family_is_told_by_the_rules(self, scrape, client, session, well):
        for state in ("failed", "done", "done"):
            make_refund(session, status="approved", processing_state=state)
        enqueue(session, "notification", run_after=now() + timedelta(hours=1))
        writing.write(session, uuid4(), Batch(1, {(1, "api", 5, 10): (3, 24_000), (1, "api", 2, 2**31 - 1): (1, 40_000_000)}))
        session.commit()
        families, samples = scrape()
        assert samples["portal_service_up", 'service="database"'] == 1
        assert ("portal_service_up", 'service="redis"') not in samples
        assert samples["portal_jobs", 'status="pending"'] == 1
        assert samples["portal_refunds", 'status="approved",processing="done"'] == 2
        assert (samples["portal_workers", ""], samples["portal_jobs_oldest_wait_seconds", ""]) == (1, 0)
        assert samples["portal_audit_head", ""] == 0
        assert families["portal_http_request_duration_seconds"] == "histogram"
        assert samples["portal_http_requests_total", 'door="api",status="5xx"'] == 3
        duration = "portal_http_request_duration_seconds"
        assert samples[f"{duration}_bucket", 'door="api",le="0.005"'] == 0
        assert samples[f"{duration}_bucket", 'door="api",le="0.01"'] == 3
        assert samples[f"{duration}_bucket", 'door="api",le="30"'] == 3
        assert samples[f"{duration}_bucket", 'door="api",le="+Inf"'] == samples[f"{duration}_count", 'door="api"'] == 4
        assert samples[f"{duration}_sum", 'door="api"'] == pytest.approx(40.024)

    def test_counters_never_go_back_when_old_minutes_are_folded(self, scrape, session):
        moment = int(now().timestamp()) // 60
        days = {number * 24 * 60: number for number in (0, 3, 8, 20)}
        writing.write(
            session, uuid4(), Batch(1, {(moment - minutes, "portal", 2, 25): (number + 1, 1000) for minutes, number in days.items()})
        )
        session.commit()
        before = scrape()[1]
        writing.fold_old(session)
        writing.fold_old(session)
        session.commit()
        assert session.execute(text("SELECT count(*) FROM request_minutes")).scalar() == 3
        for name in ("portal_http_requests_total", "portal_http_request_duration_seconds_sum"):
            assert {key: value for key, value in before.items() if key[0] == name} == {
                key: value for key, value in scrape()[1].items() if key[0] == name
            }

    def test_only_its_token_opens_it(self, client, bearer, with_settings):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, bearer("*")):
            refused = client.get("/metrics", headers=headers)
            assert refused.status_code == 401
            assert "portal_" not in refused.text
        unset = with_settings(METRICS_TOKEN="")
        assert unset.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
        with pytest.raises(config.ConfigError, match="METRICS_TOKEN: it is shorter than 16"):
            config.load({"SECRET_KEY": "k" * 32, "METRICS_TOKEN": "short"})

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_without_the_database_it_tells_what_is_known_without(self, with_settings, silent):
        client = with_settings(DATABASE_URL=f"postgresql://portal@127.0.0.1:{silent}/portal")
        answer = within(LIMIT, lambda: client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}))
        families, samples = parsed(answer.text)
        assert (samples["portal_service_up", 'service="database"'], samples["portal_service_up", 'service="storage"']) == (0, 1)
        assert "portal_http_requests_total" not in families
