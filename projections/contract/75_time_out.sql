-- End attempts that have run longer than their time-out plus one lease since their claim, whatever the heartbeats say.
-- Whether and when there is a next one: by the kind's on_timeout, and the back-off of the job, else of its kind, as if the worker had told the failure.
-- Out `told`: which jobs. Plans: an index scan marks the dead entries it meets, a bitmap scan reads them again at every tick.
drop function if exists jobledger.time_out;

create function jobledger.time_out(p_shard smallint, p_now timestamptz, p_most int, out ended int, out told jsonb)
language plpgsql set enable_bitmapscan = off
as $$
declare
  v_row record;
  v_kind jsonb;
  v_own jsonb;
  v_delay float8;
  s jobledger.folded;
begin
  ended := 0;
  told := '[]';
  for v_row in
    select r.id from jobledger.running as r left join jobledger.workers as w on w.shard = r.shard and w.id = r.worker
    where (r.shard = p_shard) is true and r.timeout_at <= p_now and r.timeout_at + make_interval(secs => coalesce(w.lease, 0)) <= p_now
    order by r.timeout_at limit p_most for update of r skip locked
  loop
    s := jobledger.taken(p_shard, v_row.id);
    continue when s.id is null;
    if s.cancel_requested then
      s := jobledger.append(s, 'job.cancelled', p_now, null, null, s.worker, s.attempt);
    else
      select e.data into v_kind from jobledger.kinds as k join jobledger.events as e on e.shard = k.shard and e.stream_id = k.id and e.version = k.head
      where k.shard = p_shard and (k.name = s.kind or s.kind = any (k.aliases)) order by k.name = s.kind desc limit 1;
      v_own := (select nullif(e.data -> 'backoff', 'null') from jobledger.events as e where e.shard = p_shard and e.stream_id = s.id and e.version = 1);
      v_delay := case when s.attempt < s.max_attempts and (v_kind ->> 'on_timeout') is distinct from 'fail'
        then jobledger.retry_delay(coalesce(v_own, nullif(v_kind -> 'backoff', 'null'), case when v_kind is not null then '{"type": "exponential"}'::jsonb end), s.attempt) end;
      s := jobledger.append(s, 'job.failed', p_now, null, jsonb_build_object('error', jsonb_build_object('type', 'TimedOut', 'class', 'transient',
        'message', format('The attempt ran longer than its time-out of %s s and its worker did not end it.', s.timeout)))
        || case when v_delay is not null then jsonb_build_object('retry_at', p_now + make_interval(secs => v_delay)) else '{}' end, s.worker, s.attempt);
    end if;
    ended := ended + 1;
    told := told || jsonb_build_object('topic', 'job_timed_out', 'job', s.id);
  end loop;
end
$$;
