-- Compare what lies in the tables with what the log says, for all jobs or for some: their rows, and the unique keys they hold. One row a difference. One statement,
-- so one snapshot: safe under load (a function that is stable sees what the statement sees that calls it).
drop function if exists jobledger.compare;

create function jobledger.compare(p_shard smallint default 0, p_ids uuid[] default null)
returns table (job uuid, found text, expected text)
language sql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
  select r.* from jobledger.row_faults(p_shard, p_ids) as r
  union all
  select k.* from jobledger.unique_key_faults(p_shard, p_ids) as k
$$;
