"""The archive of a SQLite database: all that its write-ahead log ever said, so that any moment can be put together again.

A process of its own holds a read transaction, so that SQLite cannot begin the log anew before what is in it was copied, and looks four
times a second. What it copies are *segments*: frames of the log, with the times at which they were first seen (`segments`). An unbroken
row of segments, through as many logs as it takes, is a *generation*, a folder (`store`). A backup notes where in the log its snapshot
stands (`position`); from there on each moment of the generation can be reached (`chain`, `rebuilding`). Where nobody watched, the row is
broken, a new generation begins, and it reaches nothing until a backup stands in it.
"""
