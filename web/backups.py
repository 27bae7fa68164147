"""Where views and commands find the vault."""

from flask import current_app

from domain.backups.vault import Vault


def vault() -> Vault:
    found: Vault = current_app.extensions["vault"]
    return found
