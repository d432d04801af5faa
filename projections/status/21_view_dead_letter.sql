-- The dead letter: jobs that failed for good, with the error that ended them.
create or replace view jobledger.dead_letter with (security_invoker = true) as
select f.shard, f.id, f.tenant, f.queue, f.kind, f.attempt, f.max_attempts, f.owner, f.finished_at, f.head,
  e.type::text as event, e.data -> 'error' ->> 'type' as error_type, e.data -> 'error' ->> 'message' as error_message, e.data -> 'error' ->> 'class' as error_class
from jobledger.finished as f
left join jobledger.events as e on e.shard = f.shard and e.stream_id = f.id and e.version = f.head
where f.state = 'failed';
