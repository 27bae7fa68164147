"""How many requests the web has answered, how fast and how well: for all its processes together, whatever restarts.

    a request -> a number in this process's memory -> every few seconds, added to its minute's rows -> a week later, to the total

A process writes each batch exactly once, also where it cannot know whether a commit came through (see `writing.py`). What it had counted
within the last seconds is lost where it is killed.
"""
