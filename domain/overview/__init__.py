"""What an admin sees first: what waits for them (`waiting.py`) and how the last days went (`week.py`).

Each figure counts rows that a list shows under some filter, so that whoever sees it can go and look at them. What somebody may not
list is not counted for them either.
"""
