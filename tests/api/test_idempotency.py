"""Once per key: the same answer again, whatever dies, and whoever is at it at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.access import Permission
from domain.audit.models import AuditEntry
from domain.db import now
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.idempotency import Answer, purge
from domain.identity.models import AdminSession
from domain.marketplace.models import User
from tests.api.probe import PATH, Probe

pytestmark = pytest.mark.usefixtures("probe")

ACT, DECIDE, GUARDED = f"{PATH}/act", f"{PATH}/decide", f"{PATH}/guarded"


class Taken(Conflict):
    code = "TAKEN"


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing after it runs."""


@pytest.fixture
def headers(bearer: Callable[..., dict[str, str]]) -> dict[str, str]:
    return bearer(Permission.REFUNDS_APPROVE)


@pytest.fixture
def post(client: FlaskClient, headers: dict[str, str]) -> Callable[..., TestResponse]:
    def send(path: str = ACT, key: str | None = "a-key", body: object = None, **given: str) -> TestResponse:
        sent = {**headers, **given, **({"Idempotency-Key": key} if key is not None else {})}
        return client.post(path, json={} if body is None else body, headers=sent)

    return send


@pytest.fixture
def rows(engine: Engine) -> Callable[[type], int]:
    def count(model: type) -> int:
        with Session(engine) as session:
            return session.scalar(select(func.count()).select_from(model)) or 0

    return count


def actions(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.sequence)))


class TestRetry:
    def test_it_gets_the_same_answer_and_nothing_happens_again(self, post, rows):
        first, second = post(), post()

        assert (second.status_code, second.data, second.content_type) == (first.status_code, first.data, first.content_type)
        assert first.status_code == 200
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert (rows(User), rows(AuditEntry)) == (1, 1)

    def test_a_body_written_differently_is_the_same_body(self, client, headers, rows):
        sent = {**headers, "Idempotency-Key": "k", "Content-Type": "application/json"}
        client.post(ACT, data='{"name":"Asha","amount_cents":5}', headers=sent)

        assert client.post(ACT, data='{ "amount_cents": 5, "name": "\\u0041sha" }', headers=sent).headers["Idempotent-Replayed"] == "true"
        assert rows(User) == 1

    def test_quotes_around_the_key_do_not_matter(self, post, rows):
        post(key='"a-key"')

        assert post(key="a-key").headers["Idempotent-Replayed"] == "true"

    def test_another_body_is_refused(self, post, rows):
        post(body={"amount_cents": 1})
        refused = post(body={"amount_cents": 2})

        assert (refused.status_code, refused.json["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert rows(User) == 1

    def test_another_admin_or_path_has_keys_of_its_own(self, post, bearer, rows):
        post()
        post(**bearer(Permission.REFUNDS_APPROVE))
        post(path=DECIDE)

        assert rows(User) == 3

    def test_a_deletion_answers_204_without_a_body_both_times(self, client, headers, rows):
        answers = [client.delete(PATH, headers={**headers, "Idempotency-Key": "k"}) for _ in range(2)]

        assert [(answer.status_code, answer.data, answer.content_type) for answer in answers] == [(204, b"", None)] * 2
        assert rows(User) == 1

    def test_after_a_day_the_key_is_free_again(self, post, engine, rows):
        post()
        with Session(engine) as session:
            session.execute(update(Answer).values(created_at=now() - timedelta(hours=24, seconds=1)))
            session.commit()
        again = post(body={"amount_cents": 7})

        assert (again.status_code, rows(User)) == (200, 2)
        assert post(body={"amount_cents": 7}).headers["Idempotent-Replayed"] == "true"

    def test_keys_older_than_a_day_are_forgotten(self, post, engine, rows):
        post(key="old")
        with Session(engine) as session:
            session.execute(update(Answer).values(created_at=now() - timedelta(hours=25)))
            session.commit()
        post(key="new")
        with Session(engine) as session:
            assert purge(session) == 1
            session.commit()

        assert rows(Answer) == 1


class TestKey:
    def test_it_is_required(self, post, rows):
        refused = post(key=None)

        assert (refused.status_code, refused.json["error"]["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")
        assert rows(User) == 0

    @pytest.mark.parametrize("key", ["", '""', "two words", "k" * 256, "ключ", "tab\there", '"'], ids=ascii)
    def test_it_is_visible_ascii_of_a_sensible_length(self, post, key):
        refused = post(key=key.encode().decode("latin-1"))

        if key == '"':
            assert refused.status_code == 200
        else:
            assert (refused.status_code, refused.json["error"]["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")

    def test_a_dry_run_needs_none_and_leaves_nothing(self, post, rows):
        answer = post(path=f"{ACT}?dry_run=true", key=None)

        assert (answer.status_code, answer.json["data"]["users"]) == (200, 1)
        assert (rows(User), rows(Answer), rows(AuditEntry)) == (0, 0, 0)

    @pytest.mark.parametrize("url", [f"{DECIDE}?dry_run=true", f"{ACT}?dry_run=maybe", f"{ACT}?dry_run="])
    def test_who_means_a_dry_run_never_gets_the_act(self, post, rows, url):
        refused = post(path=url)

        assert (refused.status_code, refused.json["error"]["details"][0]["field"]) == (422, "dry_run")
        assert rows(User) == 0

    def test_dry_run_false_is_the_act(self, post, rows):
        assert post(path=f"{ACT}?dry_run=false").status_code == 200
        assert rows(User) == 1


class TestRefusals:
    def test_one_decided_under_lock_is_stored_with_its_one_audit_row(self, post, probe: Probe, engine, rows):
        def refuse():
            raise Taken("Somebody else took it.", current_status="taken")

        probe.acting = refuse
        first = post()
        probe.acting = lambda: None
        second = post()

        assert (first.status_code, first.json["error"]["code"], first.json["error"]["current_status"]) == (409, "TAKEN", "taken")
        assert (second.status_code, second.data) == (first.status_code, first.data)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert (rows(User), actions(engine)) == (0, ["request.refused"])

    @pytest.mark.parametrize("error", [NotFound("No."), Forbidden("No."), Invalid("No.", field="name")], ids=lambda error: error.code)
    def test_others_are_not_stored_and_the_call_may_be_repeated(self, post, probe: Probe, error, rows):
        def refuse():
            raise error

        probe.acting = refuse
        assert post().status_code == error.status
        probe.acting = lambda: None

        assert post().status_code == 200
        assert rows(User) == 1

    def test_a_refused_permission_leaves_one_audit_row(self, post, bearer, engine):
        post(**bearer())

        assert actions(engine) == ["access.refused"]

    def test_a_refused_dry_run_is_no_decision(self, post, probe: Probe, engine):
        def refuse():
            raise Taken("No.")

        probe.acting = refuse

        assert post(path=f"{ACT}?dry_run=true", key=None).status_code == 409
        assert actions(engine) == []

    def test_a_body_that_does_not_fit_is_not_stored(self, post, rows):
        assert post(body={"amount_cents": "5"}).status_code == 422
        assert post(body={"amount_cents": 5}).status_code == 200

    def test_a_crash_leaves_nothing(self, post, probe: Probe, rows):
        def crash():
            raise RuntimeError("boom")

        probe.acting = crash
        assert post().status_code == 500
        assert (rows(User), rows(Answer), rows(AuditEntry)) == (0, 0, 0)
        probe.acting = lambda: None

        assert post().status_code == 200

    def test_a_second_factor_is_asked_for_only_where_something_would_happen(self, client, bearer, engine, rows):
        def call(sent):
            return client.post(GUARDED, json={}, headers={**sent, "Idempotency-Key": "k"})

        sent = bearer(Permission.REFUNDS_APPROVE, fresh_mfa=True)
        assert call(sent).status_code == 200
        with Session(engine) as session:
            session.execute(update(AdminSession).values(mfa_at=now() - timedelta(hours=1)))
            session.commit()

        assert call(sent).headers["Idempotent-Replayed"] == "true"
        refused = client.post(GUARDED, json={}, headers={**sent, "Idempotency-Key": "another"})
        assert (refused.status_code, refused.json["error"]["code"]) == (403, "MFA_REQUIRED")
        assert actions(engine)[-1] == "access.refused"


class TestSecondPhase:
    def test_its_answer_is_the_one_that_stays(self, post, probe: Probe, rows):
        first, second = post(path=DECIDE), post(path=DECIDE)

        assert first.json["data"] == {"users": 1, "said": "settled"}
        assert (second.data, second.headers["Idempotent-Replayed"]) == (first.data, "true")
        assert (len(probe.settled), rows(User)) == (1, 1)

    def test_an_error_in_it_lets_the_first_answer_stand(self, post, probe: Probe):
        def fail():
            raise RuntimeError("the gateway bit us")

        probe.settling = fail
        first = post(path=DECIDE)
        probe.settling = lambda: None
        second = post(path=DECIDE)

        assert (first.status_code, first.json["data"]["said"]) == (200, "acted")
        assert (second.data, second.headers["Idempotent-Replayed"]) == (first.data, "true")

    def test_a_retry_while_it_runs_is_told_to_wait(self, post, probe: Probe, app: Flask, headers):
        twin: list[TestResponse] = []

        def meanwhile():
            twin.append(app.test_client().post(DECIDE, json={}, headers={**headers, "Idempotency-Key": "a-key"}))

        probe.settling = meanwhile
        post(path=DECIDE)

        assert (twin[0].status_code, twin[0].json["error"]["code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
        assert twin[0].headers["Retry-After"] == "1"

    def test_whoever_comes_after_a_crash_goes_on_where_it_stopped(self, post, probe: Probe, engine, rows):
        def die():
            raise Killed

        probe.settling = die
        with pytest.raises(Killed):
            post(path=DECIDE)
        probe.settling = lambda: None

        assert post(path=DECIDE).json["error"]["code"] == "IDEMPOTENCY_IN_FLIGHT"
        with Session(engine) as session:
            session.execute(update(Answer).values(lease_until=now() - timedelta(seconds=1)))
            session.commit()
        resumed, replayed = post(path=DECIDE), post(path=DECIDE)

        assert resumed.json["data"]["said"] == "settled"
        assert (replayed.data, replayed.headers["Idempotent-Replayed"]) == (resumed.data, "true")
        assert (rows(User), len(probe.settled), actions(engine)) == (1, 1, ["probe.acted"])


class TestTwins:
    def test_twenty_at_once_are_one_act(self, app: Flask, probe: Probe, headers, rows):
        together = Barrier(20)

        def call(_):
            together.wait(timeout=30)
            return app.test_client().post(DECIDE, json={}, headers={**headers, "Idempotency-Key": "twins"})

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(call, range(20)))

        firsts = [answer for answer in answers if answer.status_code == 200 and "Idempotent-Replayed" not in answer.headers]
        others = [answer for answer in answers if answer not in firsts]
        assert len(firsts) == 1
        assert {answer.status_code for answer in others} <= {200, 409}
        assert {answer.data for answer in answers if answer.status_code == 200} == {firsts[0].data}
        assert {answer.json["error"]["code"] for answer in others if answer.status_code == 409} <= {"IDEMPOTENCY_IN_FLIGHT"}
        assert (rows(User), rows(AuditEntry), len(probe.settled)) == (1, 1, 1)

    def test_only_one_takes_over_from_the_dead(self, app: Flask, post, probe: Probe, headers, engine, rows):
        def die():
            raise Killed

        probe.settling = die
        with pytest.raises(Killed):
            post(path=DECIDE, key="twins")
        probe.settling = lambda: None
        with Session(engine) as session:
            session.execute(update(Answer).values(lease_until=now() - timedelta(seconds=1)))
            session.commit()
        together = Barrier(8)

        def call(_):
            together.wait(timeout=30)
            return app.test_client().post(DECIDE, json={}, headers={**headers, "Idempotency-Key": "twins"})

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(call, range(8)))

        assert len([answer for answer in answers if answer.status_code == 200 and "Idempotent-Replayed" not in answer.headers]) == 1
        assert (len(probe.settled), rows(User)) == (1, 1)

    def test_different_keys_do_not_wait_for_each_other_for_ever(self, app: Flask, headers, rows):
        def call(_):
            return app.test_client().post(ACT, json={}, headers={**headers, "Idempotency-Key": str(uuid4())}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(call, range(16))) == {200}
        assert rows(User) == 16
