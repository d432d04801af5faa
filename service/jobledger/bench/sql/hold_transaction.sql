-- Give the transaction that is open an id, so that every snapshot from now on names it until it ends.
select pg_current_xact_id()
