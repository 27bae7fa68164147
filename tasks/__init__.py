"""The door for time: what runs when nobody waits for it.

The queue carries nothing but job ids, and losing one loses nothing: the row says what is to be done, `runner.py` claims it and writes
what came of it, `timekeeper.py` rings again for whatever nobody holds.
"""
