-- The kinds of a queue whose attempts may last longer than an endpoint works on one, at most ten names; empty: none. Null p_kind: any kind of the queue.
create or replace function jobledger.push_too_short(p_shard smallint, p_queue text, p_max_run int, p_kind text default null) returns text[]
language sql stable
as $$
  select coalesce(array_agg(t.name), '{}') from (
    select k.name from jobledger.kinds as k cross join lateral jobledger.job_defaults(p_shard, k.name, null, null) as d
    where k.shard = p_shard and (p_kind is null or k.name = p_kind) and coalesce(k.queue, 'default') = p_queue and d.timeout > p_max_run
    order by k.name limit 10
  ) as t
$$;
