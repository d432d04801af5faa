-- The dead letter: jobs that failed for good, with the error that ended them (the last failure of the stream; a later redaction does not hide it).
create or replace view jobledger.dead_letter with (security_invoker = true) as
select f.shard, f.id, f.tenant, f.queue, f.kind, f.attempt, f.max_attempts, f.owner, f.finished_at, f.head,
  e.type::text as event, e.data -> 'error' ->> 'type' as error_type, e.data -> 'error' ->> 'message' as error_message, e.data -> 'error' ->> 'class' as error_class
from jobledger.finished as f
left join lateral (
  select l.type, l.data from jobledger.events as l
  where l.shard = f.shard and l.stream_id = f.id and l.version <= f.head and l.type in ('job.failed', 'job.lease_expired')
  order by l.version desc limit 1
) as e on true
where f.state = 'failed';
