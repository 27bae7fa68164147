"""Every setting: read from the environment once, typed, checked, with its meaning beside it.

`load()` answers a Config or raises ConfigError with one line per mistake: its name, what is wrong, what to write.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

VERSION = "0.1.0"

CURRENCY = re.compile(r"[A-Z]{3}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class ConfigError(Exception):
    """One line per mistake."""

    def __init__(self, mistakes: list[str]):
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True)
class Config:
    app_env: str  # development | production | test
    data_dir: Path  # database, queue, outbox, sandbox ledger: whatever lives in files
    secret_key: str  # signs cookies and tokens, seals TOTP secrets; each use has its own derived key
    database_url: str
    redis_url: str | None  # unset: Huey on SQLite, caches in the database, rate limits in process
    public_url: str  # where people reach the portal: links in messages, secure cookies when https
    cors_origins: tuple[str, ...]  # other origins whose pages may call the API
    trusted_proxies: int  # how many proxies in front may be believed about the caller's address
    storage_url: str  # file:///folder or s3://bucket/prefix: where files that people download are kept
    s3_endpoint_url: str | None  # of a store that speaks S3 but is not Amazon's
    smtp_url: str | None  # smtp:// or smtps://; unset: messages go to data_dir/outbox
    mail_from: str
    stripe_api_key: str | None
    stripe_api_base: str
    stripe_webhook_secrets: tuple[str, ...]
    razorpay_key_id: str | None
    razorpay_key_secret: str | None
    razorpay_api_base: str
    razorpay_webhook_secrets: tuple[str, ...]
    gateway_timeout_seconds: float
    dual_approval_limits: Mapping[str, int]  # minor units per currency; one that is not listed always needs two
    default_currency: str
    rate_limit: tuple[int, int]  # calls, per seconds, for each admin
    job_retention_days: int  # how long finished jobs, their files and the rows of deleted ones are kept: domain/jobs/retention.py
    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_file: Path | None  # public keys of an outside issuer whose tokens are accepted as well
    metrics_token: str | None  # what Prometheus sends to read /metrics; unset: there is no such page
    backup_dir: Path  # where backups are kept: best on another disk
    backup_key_file: Path | None  # an age identity; unset: backups are not encrypted
    backup_uploads: bool  # whether those that are made by themselves have the files of the storage in them
    backup_every_hours: int  # how often a full backup is made without being asked for; 0: never
    pgbackrest_stanza: str | None  # what pgBackRest calls this PostgreSQL; unset: backups by pg_dump, full ones only
    pgbackrest_config: Path | None  # unset: where pgBackRest looks by itself
    pgbackrest_restore_config: Path | None  # where the other one names a host for the server, which is none to restore on
    pgbackrest_user: str | None  # whom pgBackRest and the servers on restored data run as, where the portal itself runs as root
    log_level: str
    log_format: str  # console | json

    @property
    def production(self) -> bool:
        return self.app_env == "production"

    @property
    def secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")

    def derived_key(self, purpose: str) -> bytes:
        """32 bytes for one purpose, so that no key is ever used for two (HKDF's expand step with HMAC-SHA256)."""
        return hmac.new(self.secret_key.encode(), purpose.encode() + b"\x01", hashlib.sha256).digest()


def load(environment: Mapping[str, str] | None = None) -> Config:
    """Read and check the settings; with no argument, those of the process."""
    reader = Reader(os.environ if environment is None else environment)
    config = read(reader)
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    return config


def read(env: Reader) -> Config:
    app_env = env.one_of("APP_ENV", "development", ("development", "production", "test"))
    data_dir = Path(env.text("DATA_DIR", "var")).absolute()
    host, port = env.text("HOST", "127.0.0.1"), env.text("PORT", "8000")
    public_url = env.url("PUBLIC_URL", f"http://{host}:{port}", ("http", "https")).rstrip("/")
    return Config(
        app_env=app_env,
        data_dir=data_dir,
        secret_key=secret_key(env, app_env, data_dir),
        database_url=env.url(
            "DATABASE_URL",
            f"sqlite:///{data_dir / 'portal.db'}",
            ("sqlite", "postgresql", "postgres", "postgresql+psycopg2"),
        ),
        redis_url=env.url("REDIS_URL", "", ("redis", "rediss", "unix")) or None,
        public_url=public_url,
        cors_origins=origins(env),
        trusted_proxies=env.integer("TRUSTED_PROXIES", 0, minimum=0, maximum=10),
        storage_url=storage_url(env, data_dir),
        s3_endpoint_url=env.url("S3_ENDPOINT_URL", "", ("http", "https")) or None,
        smtp_url=env.url("SMTP_URL", "", ("smtp", "smtps")) or None,
        mail_from=env.text("MAIL_FROM", "Marketplace <no-reply@localhost>"),
        stripe_api_key=env.text("STRIPE_API_KEY", "") or None,
        stripe_api_base=env.url("STRIPE_API_BASE", "https://api.stripe.com", ("http", "https")).rstrip("/"),
        stripe_webhook_secrets=env.several("STRIPE_WEBHOOK_SECRET"),
        razorpay_key_id=env.text("RAZORPAY_KEY_ID", "") or None,
        razorpay_key_secret=env.text("RAZORPAY_KEY_SECRET", "") or None,
        razorpay_api_base=env.url("RAZORPAY_API_BASE", "https://api.razorpay.com", ("http", "https")).rstrip("/"),
        razorpay_webhook_secrets=env.several("RAZORPAY_WEBHOOK_SECRET"),
        gateway_timeout_seconds=env.number("GATEWAY_TIMEOUT_SECONDS", 8.0, minimum=0.1, maximum=25.0),
        dual_approval_limits=limits(env),
        default_currency=env.matching("DEFAULT_CURRENCY", "INR", CURRENCY, "an ISO 4217 code such as INR"),
        rate_limit=rate(env),
        job_retention_days=env.integer("JOB_RETENTION_DAYS", 30, minimum=1, maximum=3650),
        jwt_issuer=env.text("JWT_ISSUER", "admin-portal"),
        jwt_audience=env.text("JWT_AUDIENCE", "admin-api"),
        jwt_jwks_file=env.file("JWT_JWKS_FILE"),
        metrics_token=metrics_token(env),
        backup_dir=Path(env.text("BACKUP_DIR", str(data_dir / "backups"))).absolute(),
        backup_key_file=env.file("BACKUP_KEY_FILE"),
        backup_uploads=env.one_of("BACKUP_UPLOADS", "yes", ("yes", "no")) == "yes",
        backup_every_hours=env.integer("BACKUP_EVERY_HOURS", 0 if app_env == "test" else 24, minimum=0, maximum=8760),
        pgbackrest_stanza=stanza(env),
        pgbackrest_config=env.file("PGBACKREST_CONFIG"),
        pgbackrest_restore_config=env.file("PGBACKREST_RESTORE_CONFIG"),
        pgbackrest_user=env.text("PGBACKREST_USER", "") or None,
        log_level=env.one_of("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        log_format=env.one_of("LOG_FORMAT", "json" if app_env == "production" else "console", ("console", "json")),
    )


class Reader:
    """Takes settings out of an environment and collects what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]):
        self.environment = environment
        self.mistakes: list[str] = []

    def wrong(self, name: str, found: str, write: str) -> None:
        self.mistakes.append(f"{name}: {found}; {write}")

    def text(self, name: str, default: str) -> str:
        return self.environment.get(name, "").strip() or default

    def one_of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            self.wrong(name, f"{value!r} is not known", f"write one of {', '.join(choices)}")
            return default
        return value

    def several(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name, "").split(",") if part.strip())

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        return int(self.number(name, default, minimum=minimum, maximum=maximum, whole=True))

    def number(self, name: str, default: float, *, minimum: float, maximum: float, whole: bool = False) -> float:
        raw = self.text(name, str(default))
        try:
            value = int(raw) if whole else float(raw)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            kind = "a whole number" if whole else "a number"
            self.wrong(name, f"{raw!r} does not fit", f"write {kind} from {minimum:g} to {maximum:g}")
            return default
        return value

    def matching(self, name: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        value = self.text(name, default)
        if not pattern.fullmatch(value):
            self.wrong(name, f"{value!r} does not fit", f"write {what}")
            return default
        return value

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value and urlsplit(value).scheme not in schemes:
            self.wrong(name, "its scheme is not known", f"write a URL that begins with {' or '.join(s + '://' for s in schemes)}")
            return default
        return value

    def file(self, name: str) -> Path | None:
        value = self.text(name, "")
        if not value:
            return None
        if not Path(value).is_file():
            self.wrong(name, f"there is no file {value!r}", "write the path of a file that the portal may read")
            return None
        return Path(value)


def secret_key(env: Reader, app_env: str, data_dir: Path) -> str:
    given = env.text("SECRET_KEY", "")
    if given:
        if len(given) < 32:
            env.wrong("SECRET_KEY", "it is shorter than 32 characters", "write what `openssl rand -hex 32` prints")
        return given
    if app_env == "production":
        env.wrong("SECRET_KEY", "it is not set", "production needs one: write what `openssl rand -hex 32` prints")
        return ""
    return kept_secret(data_dir / "secret.key")


def kept_secret(path: Path) -> str:
    """The secret in this file, made on first use. Two processes that start at once agree: the file is linked into place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def metrics_token(env: Reader) -> str | None:
    given = env.text("METRICS_TOKEN", "")
    if given and not re.fullmatch(r"[!-~]{16,}", given):
        env.wrong("METRICS_TOKEN", "it is shorter than 16 visible ASCII characters", "write what `openssl rand -hex 32` prints")
    return given or None


def stanza(env: Reader) -> str | None:
    given = env.text("PGBACKREST_STANZA", "")
    if given and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", given):
        env.wrong("PGBACKREST_STANZA", f"{given!r} does not fit", "write the name of the stanza, as in portal")
    elif given and not env.text("DATABASE_URL", "").startswith("postgres"):
        env.wrong("PGBACKREST_STANZA", "DATABASE_URL is no PostgreSQL", "unset it, or write a DATABASE_URL that begins with postgresql://")
    elif not given and any(env.text(name, "") for name in ("PGBACKREST_CONFIG", "PGBACKREST_RESTORE_CONFIG")):
        env.wrong("PGBACKREST_STANZA", "it is not set, and PGBACKREST_CONFIG is", "write the name of the stanza, as in portal")
    return given or None


def storage_url(env: Reader, data_dir: Path) -> str:
    default = (data_dir / "storage").as_uri()
    url = env.url("STORAGE_URL", default, ("file", "s3"))
    parts = urlsplit(url)
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        env.wrong("STORAGE_URL", "its folder is not an absolute path", "write one with three slashes, as in file:///srv/portal/files")
    elif parts.scheme == "s3" and not BUCKET.fullmatch(parts.netloc):
        env.wrong(
            "STORAGE_URL", "it names no bucket", "write s3://bucket or s3://bucket/prefix, and the keys in AWS_ACCESS_KEY_ID and so on"
        )
    else:
        return url
    return default


def origins(env: Reader) -> tuple[str, ...]:
    found = env.several("CORS_ORIGINS")
    for origin in found:
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            env.wrong("CORS_ORIGINS", f"{origin!r} is no origin", "write scheme and host alone, as in https://admin.example.com")
    return found


def limits(env: Reader) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in env.text("DUAL_APPROVAL_LIMITS", "USD=100000,INR=8500000").split(","):
        currency, _, amount = part.strip().partition("=")
        if not CURRENCY.fullmatch(currency) or not re.fullmatch(r"[0-9]{1,15}", amount):
            env.wrong(
                "DUAL_APPROVAL_LIMITS", f"{part.strip()!r} does not fit", "write minor units per currency, as in USD=100000,INR=8500000"
            )
        else:
            found[currency] = int(amount)
    return found


PERIODS = {"second": 1, "minute": 60, "hour": 3600}


def rate(env: Reader) -> tuple[int, int]:
    raw = env.text("RATE_LIMIT", "300 per minute")
    match = re.fullmatch(r"([1-9][0-9]{0,6})\s*(?:per|/)\s*(second|minute|hour)", raw)
    if not match:
        env.wrong("RATE_LIMIT", f"{raw!r} does not fit", "write a count per second, minute or hour, as in 300 per minute")
        return 300, 60
    return int(match[1]), PERIODS[match[2]]
