-- Is the database open: do the live tables hold what the log says, on this very server? A promotion changes the timeline, a restore the system identifier.
-- The timeline comes from the name of the WAL file being written (the control file lags after a promotion).
create or replace function jobledger.is_open(p_shard smallint default 0) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from jobledger.live as l where l.shard = p_shard and l.system_identifier = (select c.system_identifier from pg_control_system() as c)
    and l.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8));
end
$$;
