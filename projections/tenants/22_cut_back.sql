-- Cut back what grows: minutes older than jobledger.minutes_kept (default 7 days) go into hours, which are kept for jobledger.hours_kept (default 2 years); levels, slices and delays older than jobledger.levels_kept (default 90 days) go, but for
-- each level's last row before, so that counts as of any later place stay exact; and where jobs were moved to goes with their partition of the log, which no event of theirs can follow. The settings are the database's (`alter database … set jobledger.minutes_kept = '30 days'`).
create function cut_back(p_shard smallint, p_now timestamptz) returns void
language plpgsql
as $$
declare
  v_minutes timestamptz := date_trunc('hour', p_now - coalesce(nullif(current_setting('jobledger.minutes_kept', true), ''), '7 days')::interval, 'UTC');
  v_levels timestamptz := p_now - coalesce(nullif(current_setting('jobledger.levels_kept', true), ''), '90 days')::interval;
  v_block bigint;
begin
  with old as (
    delete from minutes as m where m.shard = p_shard and m.minute < v_minutes returning m.*
  )
  insert into hours as h (shard, tenant, minute, queue, kind, state, measure, bucket, count)
  select p_shard, o.tenant, date_trunc('hour', o.minute, 'UTC'), o.queue, o.kind, o.state, o.measure, o.bucket, sum(o.count) from old as o
  group by o.tenant, date_trunc('hour', o.minute, 'UTC'), o.queue, o.kind, o.state, o.measure, o.bucket
  on conflict (shard, tenant, minute, queue, kind, state, measure, bucket) do update set count = h.count + excluded.count;
  delete from hours as h where h.shard = p_shard and h.minute < p_now - coalesce(nullif(current_setting('jobledger.hours_kept', true), ''), '2 years')::interval;
  delete from due as d where d.shard = p_shard and (d.minute < p_now - interval '1 hour' or d.count = 0);
  delete from moved as m using jobledger.retired as r where r.shard = p_shard and r.dropped_at is not null and m.shard = p_shard and m.id >= r.lower and m.id < r.upper;
  select max(s.block) into v_block from slices as s where s.shard = p_shard and s.sealed_at < v_levels;
  if v_block is null then
    return;
  end if;
  delete from delayed as d where d.shard = p_shard and d.run_at < v_levels;
  delete from past_levels as l using past_levels as later
  where l.shard = p_shard and l.block < v_block and later.shard = l.shard and later.tenant = l.tenant and later.queue = l.queue and later.kind = l.kind and later.state = l.state
    and later.block > l.block and later.block <= v_block;
  delete from slices as s where s.shard = p_shard and s.block < v_block;
end
$$;
