-- The clock begins as the server's own.
insert into jobledger.test_clock default values on conflict do nothing
