-- Every open job as the log says it: the streams that have no row in `finished`.
create or replace function jobledger.fold_open(p_shard smallint) returns setof jobledger.folded
language sql stable
as $$
  select (t.f).* from (
    select jobledger.fold(e order by e.version) as f from jobledger.events as e
    where e.shard = p_shard and e.type <= 'job.redacted' and not exists (select from jobledger.finished as d where d.shard = p_shard and d.id = e.stream_id)
    group by e.stream_id
  ) as t where (t.f).state in ('ready', 'running', 'parked', 'blocked', 'suspended')
$$;
