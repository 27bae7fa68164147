"""So many calls in so long, for each admin, wherever they are counted."""

from time import monotonic

import pytest

import config
from domain.errors import RateLimited
from tests.servers.redis import Redis
from web.limits import Limits, network


def settings(**environment: str) -> config.Config:
    return config.load({"SECRET_KEY": "k" * 32, "RATE_LIMIT": "3 per minute", **environment})


def spend(limits: Limits, times: int, subject: str = "asha") -> None:
    for _ in range(times):
        limits.spend(limits.per_admin, "admin", subject)


def test_the_budget_is_per_admin():
    limits = Limits(settings())
    spend(limits, 3)
    spend(limits, 3, "omar")

    with pytest.raises(RateLimited) as refused:
        spend(limits, 1)
    assert 1 <= refused.value.retry_after <= 60


def test_with_redis_all_processes_share_one_budget(redis: Redis):
    one, other = (Limits(settings(REDIS_URL=redis.url)) for _ in range(2))
    spend(one, 2)
    spend(other, 1)

    with pytest.raises(RateLimited) as refused:
        spend(one, 1)
    assert 1 <= refused.value.retry_after <= 60


def test_without_redis_each_process_counts_at_once_for_itself(tmp_path):
    limits = Limits(settings(REDIS_URL=f"unix://{tmp_path}/nobody-listens.sock"))
    started = monotonic()
    spend(limits, 3)

    with pytest.raises(RateLimited):
        spend(limits, 1)
    assert monotonic() - started < 2


def test_a_redis_that_swallows_everything_costs_one_short_wait(silent_server: str):
    limits = Limits(settings(REDIS_URL=silent_server))
    started = monotonic()
    spend(limits, 3)

    with pytest.raises(RateLimited):
        spend(limits, 1)
    assert monotonic() - started < 2


def test_it_goes_back_to_redis_once_that_answers(redis: Redis):
    limits = Limits(settings(REDIS_URL=redis.url))
    limits.shared_again_at = monotonic() + 3600
    spend(limits, 3)
    with pytest.raises(RateLimited):
        spend(limits, 1)
    limits.shared_again_at = 0

    spend(limits, 3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        (None, "<script>", True),
    ],
)
def test_one_subscriber_is_one_caller(one, other, same):
    assert (network(one) == network(other)) is same


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestOverHttp:
    @pytest.fixture
    def settings(self, settings):
        return {**settings, "RATE_LIMIT": "2 per minute"}

    def test_the_third_call_is_refused_and_told_when_to_come_again(self, client, bearer):
        headers = bearer("refunds:list")
        answers = [client.get("/api/v1/admin/me", headers=headers) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].json["error"]["code"] == "RATE_LIMITED"
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert client.get("/api/v1/admin/me", headers=bearer("refunds:list")).status_code == 200

    def test_replays_spend_nothing(self, client, bearer, probe):
        from tests.api.probe import PATH

        headers = {**bearer("refunds:approve"), "Idempotency-Key": "k"}
        answers = [client.post(f"{PATH}/act", json={}, headers=headers) for _ in range(5)]

        assert [answer.status_code for answer in answers] == [200] * 5
        assert client.post(f"{PATH}/act", json={}, headers={**headers, "Idempotency-Key": "k2"}).status_code == 200
        assert client.post(f"{PATH}/act", json={}, headers={**headers, "Idempotency-Key": "k3"}).status_code == 429
        assert client.post(f"{PATH}/act", json={}, headers=headers).headers["Idempotent-Replayed"] == "true"

    def test_guessing_at_locked_doors_spends_as_well(self, client, bearer):
        headers = bearer()
        answers = [client.get("/api/v1/admin/refunds", headers=headers) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [403, 403, 429]

    def test_strangers_share_a_larger_budget_per_address(self, client):
        answers = [client.get("/api/v1/admin/me") for _ in range(21)]

        assert {answer.status_code for answer in answers[:20]} == {401}
        assert (answers[20].status_code, answers[20].json["error"]["code"]) == (429, "RATE_LIMITED")
        assert "WWW-Authenticate" not in answers[20].headers
