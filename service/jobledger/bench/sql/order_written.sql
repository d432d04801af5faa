-- What was written, once, at the end.
select stream_id, version from jobledger.events
