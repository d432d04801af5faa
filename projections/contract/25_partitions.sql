-- Each partition of the log and of its blocks: bounds (times; numbers of blocks), whether it is attached, rows as the statistics have them, size, and what is left in a month:
-- open and finished jobs, each counted up to 10,000. `retired_at`: its jobs are being given up. Only for who sees every tenant.
drop function if exists jobledger.partitions;

create function jobledger.partitions(p_shard smallint default 0)
returns table (name text, of text, state text, lower timestamptz, upper timestamptz, first_block bigint, last_block bigint, rows_estimate bigint, bytes bigint, live int, finished int, retired_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set jit = off
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The partitions hold everybody''s jobs: only who sees every tenant may list them.', 'Ask the owner for membership in jobledger_every_tenant.');
  end if;
  return query
  select c.relname::text, coalesce(p.relname::text, 'events'),
    case when i.inhrelid is null then 'detached' when i.inhdetachpending then 'detach pending' when p.relname = 'events' and m.lower is null then 'control' else 'attached' end,
    m.lower, m.upper, b.part * 1000000, b.part * 1000000 + 999999,
    case when c.reltuples >= 0 then c.reltuples::bigint else pg_stat_get_live_tuples(c.oid) end, pg_total_relation_size(c.oid), h.live, h.finished, r.begun_at
  from pg_class as c
  left join pg_inherits as i on i.inhrelid = c.oid
  left join pg_class as p on p.oid = i.inhparent
  cross join lateral jobledger.partition_range(c.relname) as m
  cross join lateral (select case when p.relname = 'blocks' then substr(c.relname, 8)::bigint end as part) as b
  left join jobledger.retired as r on r.shard = p_shard and r.name = c.relname
  left join lateral (select x.* from jobledger.partition_holds(p_shard, m.first, m.last) as x where m.lower is not null) as h on true
  where c.relnamespace = 'jobledger'::regnamespace and c.relkind = 'r' and (p.relname in ('events', 'blocks') or (i.inhrelid is null and m.lower is not null))
  order by coalesce(p.relname::text, 'events') desc, m.lower nulls last, b.part, c.relname;
end
$$;
