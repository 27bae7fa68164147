"""Making and keeping backups: what `domain/backups/vault.py` asks for, for SQLite and for PostgreSQL."""

from __future__ import annotations
