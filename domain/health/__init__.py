"""How the portal is: measured by each service's probe, judged here, told by the API, the page, /metrics and `flask doctor`.

`report.py` says what a service's state is and what that makes of the whole; `figures.py` is what the database knows; `storage_usage.py`
what the files amount to, counted now and then by a worker; `checks.py` are the checks of `flask doctor` that read the database.
"""
