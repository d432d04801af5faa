-- Write $2 finished jobs, numbered from $1 on, of $3 tenants in turn, kind $4, run by worker $5, all of them $6 ago: the same events and row that enqueue, claim and
-- report write. In the order of their ids, as the hot path inserts them. Nobody else knows the ids: no race.
with job as materialized (
  select jobledger.new_id(jobledger.now() - $6::interval, n::int) as id, jobledger.now() - $6::interval as at, 'tenant-' || ($1::bigint + n) % $3::int as tenant
  from generate_series(0, $2::int - 1) as n
), logged as (
  insert into jobledger.events (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant, data)
  select nextval('jobledger.position'), pg_current_xact_id(), j.at, j.id, e.version, e.type::jobledger.event_type, 0, e.attempt, case when e.attempt = 1 then $5::uuid end, j.tenant,
    case e.version when 1 then jsonb_build_object('kind', $4::text, 'args', '{}'::jsonb) when 2 then jsonb_build_object('call', 1, 'beat', 1) end
  from job as j cross join (values (1, 'job.enqueued', null::smallint), (2, 'job.claimed', 1::smallint), (3, 'job.succeeded', 1::smallint)) as e (version, type, attempt)
)
insert into jobledger.finished (id, finished_at, head, state, shard, priority, attempt, max_attempts, tenant, queue, kind)
select id, at, 3, 'succeeded', 0, 0, 1, 5, tenant, 'default', $4::text from job
