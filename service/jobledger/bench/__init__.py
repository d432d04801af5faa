"""Measurements of the whole service on a database of their own: drain a backlog, enqueue, pick up.

Every measurement comes with the machine's floor, taken before and after in the same run: rows a second of a bare batch
insert into a plain table of the log's columns. The speed of shared machines drifts; the ratio of the two does not.
"""
