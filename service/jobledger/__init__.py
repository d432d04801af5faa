"""jobledger: an event-sourced job lifecycle service on Postgres."""

__version__ = "0.1.0"
