-- Writes out all WAL so far: where commits do not wait for that, what was just written would be missing from a figure.
select pg_logical_emit_message(true, 'jobledger.bench', ''), set_config('synchronous_commit', 'local', true)
