-- What the worker of one claim said of the job: its heartbeats that list it, from the claim to the claim's end, and reports of it that came too late.
-- $1 shard, $2 worker, $3 job, $4 the worker's version at the claim, $5 the moment at which the claim ended or null, $6 rows.
-- One heartbeat names jobs of many tenants: only this job's own entry leaves the database.
select e.shard, e.position, e.stream_id, e.version, e.type::text as type, e.at, e.tenant, e.actor, e.worker, e.attempt,
  case e.type when 'worker.heartbeat' then pg_catalog.jsonb_build_object('beat', e.data -> 'beat', 'held', pg_catalog.jsonb_build_array($3::uuid)) else e.data end::text as data
from jobledger.events as e
where e.shard = $1::smallint and e.stream_id = $2::uuid and e.version > $4::int
  and ((e.type = 'worker.heartbeat' and e.data -> 'held' ? $3::uuid::text and ($5::timestamptz is null or e.at <= $5))
    or (e.type = 'worker.report_rejected' and e.data ->> 'job' = $3::uuid::text))
order by e.version limit $6::int
