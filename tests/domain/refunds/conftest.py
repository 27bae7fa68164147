import pytest
from sqlalchemy.orm import sessionmaker

from domain.refunds.policy import RefundPolicy


@pytest.fixture
def policy():
    return RefundPolicy(dual_limits={"INR": 8_500_000, "USD": 100_000})


@pytest.fixture
def transactions(engine):
    return sessionmaker(engine, expire_on_commit=False).begin
