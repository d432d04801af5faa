-- Take a transaction id before anything is written: the older it is, the later its events come.
select pg_current_xact_id()
