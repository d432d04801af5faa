-- Write the row of `live` that names this server and its timeline.
create or replace function jobledger.say_open(p_shard smallint) returns void
language sql
as $$
  insert into jobledger.live as l (shard, opened_at, system_identifier, timeline)
  select p_shard, jobledger.now(), c.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8) from pg_control_system() as c
  on conflict (shard) do update set opened_at = excluded.opened_at, system_identifier = excluded.system_identifier, timeline = excluded.timeline
$$;
