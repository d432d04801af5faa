-- Take in the events of the blocks above p_after up to p_upto: levels, what was scheduled, counts and times by minute; and close the slice that has grown enough.
-- Nothing is kept of a job that is open. What its events do not say by themselves (kind, queue, the state before) is looked up by primary key in its own stream, once for each job
-- of a call: that costs less than a row written and deleted for each job. One statement, and each event is read once: a job's events lie side by side by id and version. Whatever
-- the planner believes, streams are never joined by reading the log. Only one transaction folds at a time, and its caller sees to that.
create function fold(p_shard smallint, p_after bigint, p_upto bigint) returns void
language plpgsql set jit = off set work_mem = '64MB' set enable_seqscan = off set enable_mergejoin = off set enable_hashjoin = off
as $$
begin
  with batch as materialized (
    select s.block, s.stream_id as id, s.version, s.type, s.at, s.tenant, jobledger.step_state(s.type, s.data) as state, jobledger.step_due(s.type, s.at, s.data) as due,
      case when s.type = 'job.enqueued' then s.data ->> 'kind' end as kind, case when s.type = 'job.enqueued' then coalesce(s.data ->> 'queue', 'default') end as queue
    from jobledger.sealed_between(p_shard, p_after, p_upto) as s
    where s.type <= 'job.moved' and s.type not in ('job.progressed', 'job.cancel_requested', 'job.reprioritised')
  ), lined as (
    select b.*, lag(b.version) over w is null as leads, bool_or(b.type = 'job.moved') over w as moves from batch as b
    window w as (partition by b.id order by b.version rows between unbounded preceding and unbounded following)
  ), known as (
    select l.block, l.id, l.version, l.type, l.at, l.tenant, l.leads, l.moves, coalesce(l.kind, f.kind) as kind, coalesce(l.queue, m.queue, f.queue) as queue,
      coalesce(f.at, l.at) as born, coalesce(l.state, p.state, 'ready') as state, case when l.type = 'job.moved' then coalesce(p.due, f.due) else l.due end as due,
      coalesce(p.state, case when f.kind is not null then 'ready'::jobledger.job_state end) as was_state, coalesce(p.due, f.due) as was_due
    from lined as l
    left join lateral (
      select e.data ->> 'kind' as kind, coalesce(e.data ->> 'queue', 'default') as queue, jobledger.step_due(e.type, e.at, e.data) as due, e.at
      from jobledger.events as e where (l.leads or l.type = 'job.moved') and l.version > 1 and e.shard = p_shard and e.stream_id = l.id and e.version = 1 limit 1
    ) as f on true
    left join lateral (
      select x.queue from moved as x where l.leads and l.version > 2 and x.shard = p_shard and x.id = l.id and x.version < l.version order by x.version desc limit 1
    ) as m on true
    left join lateral (
      select jobledger.step_state(e.type, e.data) as state, jobledger.step_due(e.type, e.at, e.data) as due from jobledger.events as e
      where l.version > 2 and (l.leads or l.type = 'job.moved') and e.shard = p_shard and e.stream_id = l.id and e.version < l.version
        and jobledger.step_state(e.type, e.data) is not null
      order by e.version desc limit 1
    ) as p on true
  ), stepped as (
    select k.block, k.id, k.version, k.type, k.at, k.tenant, k.moves, k.state, k.due, first_value(k.kind) over w as kind, first_value(k.queue) over w as queue, first_value(k.born) over w as born,
      case when k.leads then k.was_state else lag(k.state) over w end as was_state, case when k.leads then k.was_due else lag(k.due) over w end as was_due
    from known as k window w as (partition by k.id order by k.version)
  ), steps as materialized (
    select s.block, s.id, s.version, s.type, s.at, date_bin('1 minute', s.at, 'epoch') as minute, s.tenant, s.kind, s.state, s.due, s.born, s.was_state, s.was_due,
      -- Where a job was moved in these very blocks, which is rare: its queue at each of its events.
      coalesce(case when s.moves then (select e.data ->> 'queue' from jobledger.events as e where e.shard = p_shard and e.stream_id = s.id and e.version <= s.version and e.type = 'job.moved'
        order by e.version desc limit 1) end, s.queue) as queue,
      coalesce(case when s.moves then (select e.data ->> 'queue' from jobledger.events as e where e.shard = p_shard and e.stream_id = s.id and e.version < s.version and e.type = 'job.moved'
        order by e.version desc limit 1) end, s.queue) as was_queue
    from stepped as s
  ), tallies as materialized (
    select s.tenant, s.queue, s.kind, s.state, s.was_queue, s.was_state, s.type, s.minute, count(*) as count from steps as s
    group by s.tenant, s.queue, s.kind, s.state, s.was_queue, s.was_state, s.type, s.minute
  ), counted as (
    insert into levels (shard, tenant, queue, kind, state, count, block)
    select p_shard, c.tenant, c.queue, c.kind, c.state, sum(c.delta), p_upto from (
      select t.tenant, t.queue, t.kind, t.state, t.count as delta from tallies as t
      union all select t.tenant, t.was_queue, t.kind, t.was_state, -t.count from tallies as t where t.was_state is not null
    ) as c group by c.tenant, c.queue, c.kind, c.state having sum(c.delta) <> 0
    on conflict (shard, tenant, queue, kind, state) do update set count = levels.count + excluded.count, block = excluded.block
  ), put_off as materialized (
    select c.block, c.tenant, c.queue, c.kind, c.run_at, c.class, sum(c.delta)::int as delta from (
      select s.block, s.tenant, s.queue, s.kind, s.due as run_at, class_of(s.at, s.due) as class, 1 as delta from steps as s where s.state = 'ready' and s.due > s.at
      union all
      select s.block, s.tenant, s.was_queue, s.kind, s.was_due, class_of(s.at, s.was_due), -1 from steps as s where s.was_state = 'ready' and s.was_due > s.at
    ) as c group by c.block, c.tenant, c.queue, c.kind, c.run_at, c.class having sum(c.delta) <> 0
  ), delays as (
    insert into delayed (shard, block, tenant, queue, kind, run_at, class, delta) select p_shard, d.block, d.tenant, d.queue, d.kind, d.run_at, d.class, d.delta from put_off as d
  ), dues as (
    insert into due (shard, tenant, queue, kind, minute, count)
    select p_shard, d.tenant, d.queue, d.kind, date_bin('1 minute', d.run_at, 'epoch'), sum(d.delta) from put_off as d group by d.tenant, d.queue, d.kind, date_bin('1 minute', d.run_at, 'epoch')
    on conflict (shard, tenant, queue, kind, minute) do update set count = due.count + excluded.count
  ), moves as (
    insert into moved (shard, id, version, queue) select p_shard, s.id, s.version, s.queue from steps as s where s.type = 'job.moved'
  )
  insert into minutes (shard, tenant, minute, queue, kind, state, measure, bucket, count)
  select p_shard, t.tenant, t.minute, t.queue, t.kind, t.state, substr(t.type::text, 5), 0, sum(t.count) from tallies as t group by t.tenant, t.minute, t.queue, t.kind, t.state, t.type
  union all
  select p_shard, s.tenant, s.minute, s.queue, s.kind, s.state, 'wait', jobledger.bucket_of(s.was_due, s.at) as bucket, count(*) from steps as s where s.type = 'job.claimed'
  group by s.tenant, s.minute, s.queue, s.kind, s.state, bucket
  union all
  select p_shard, s.tenant, s.minute, s.queue, s.kind, s.state, 'run', jobledger.bucket_of(s.was_due, s.at) as bucket, count(*) from steps as s where s.was_state = 'running'
  group by s.tenant, s.minute, s.queue, s.kind, s.state, bucket
  union all
  select p_shard, s.tenant, s.minute, s.queue, s.kind, s.state, 'age', jobledger.bucket_of(s.born, s.at) as bucket, count(*) from steps as s where s.state >= 'succeeded'
  group by s.tenant, s.minute, s.queue, s.kind, s.state, bucket
  on conflict (shard, tenant, minute, queue, kind, state, measure, bucket) do update set count = minutes.count + excluded.count;
  perform close_slice(p_shard, p_after, p_upto);
end
$$;
