-- What a job was after so many of its events: its queue, kind, state, and since when (for ready: from when on it is due). No row for version 0. By primary key, in the job's own stream.
create or replace function jobledger.job_at(p_shard smallint, p_id uuid, p_version int) returns table (queue text, kind text, state jobledger.job_state, due timestamptz)
language sql stable
as $$
  select coalesce(m.queue, f.queue), f.kind, s.state, s.due
  from (select e.data ->> 'kind' as kind, coalesce(e.data ->> 'queue', 'default') as queue from jobledger.events as e where e.shard = p_shard and e.stream_id = p_id and e.version = 1 and p_version > 0) as f
  cross join lateral (
    select jobledger.step_state(e.type, e.data) as state, jobledger.step_due(e.type, e.at, e.data) as due from jobledger.events as e
    where e.shard = p_shard and e.stream_id = p_id and e.version <= p_version and jobledger.step_state(e.type, e.data) is not null
    order by e.version desc limit 1
  ) as s
  left join lateral (
    select e.data ->> 'queue' as queue from jobledger.events as e
    where e.shard = p_shard and e.stream_id = p_id and e.version <= p_version and p_version > 1 and e.type = 'job.moved'
    order by e.version desc limit 1
  ) as m on true
$$;
