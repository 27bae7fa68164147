"""Where views and commands find the vault and the restorer."""

from flask import current_app

from domain.backups.vault import Vault
from domain.restores.restorer import Restorer


def vault() -> Vault:
    found: Vault = current_app.extensions["vault"]
    return found


def restorer() -> Restorer:
    found: Restorer = current_app.extensions["restorer"]
    return found
