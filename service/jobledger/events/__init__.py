"""Pure: the envelope, one model for the data of each event type, and how old shapes are read."""

from jobledger.events.data import EventData
from jobledger.events.envelope import Event
from jobledger.events.job import ErrorClass, ErrorFacts, KillRule
from jobledger.events.vocabulary import JOB_TYPES, MODELS, model_of, parse, parse_as

__all__ = [
    "JOB_TYPES",
    "MODELS",
    "ErrorClass",
    "ErrorFacts",
    "Event",
    "EventData",
    "KillRule",
    "model_of",
    "parse",
    "parse_as",
]
