"""Every table, for whoever needs the whole schema: migrations, tests, the import of data."""

import domain.audit.models
import domain.cache
import domain.health.storage_usage
import domain.idempotency
import domain.identity.models
import domain.jobs.models
import domain.marketplace.models
import domain.refunds.models
import domain.restores.models
import domain.roles.models
import domain.throttle
import domain.traffic.models  # noqa: F401
from domain.db import Base

metadata = Base.metadata
