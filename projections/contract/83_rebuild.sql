-- The deliberate rebuild of a projection from the log: `queue` or `status`. Takes its tables exclusively under a short lock_timeout (55P03: try again), truncates,
-- folds, and opens: after `queue` by saying so, after `status` by opening, since nobody knows here why the database is not open, and the live tables may be empty.
-- Returns the rows placed. Call and commit jobledger.close() first, so that workers stand back instead of queueing for the lock.
drop function if exists jobledger.rebuild;

create function jobledger.rebuild(p_shard smallint, p_projection text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '100ms' set jit = off
as $$
declare
  v_rows bigint;
begin
  perform pg_advisory_xact_lock(hashtext('jobledger.open'), p_shard::int);
  if p_projection = 'queue' then
    lock table jobledger.running, jobledger.ready, jobledger.waiting in access exclusive mode;
    truncate jobledger.running, jobledger.ready, jobledger.waiting;
    delete from jobledger.queue_snapshots as q where q.shard = p_shard;
    v_rows := jobledger.place_streams(p_shard, jobledger.open_streams(p_shard));
    perform jobledger.say_open(p_shard);
  elsif p_projection = 'status' then
    lock table jobledger.running, jobledger.ready, jobledger.waiting, jobledger.finished in access exclusive mode;
    truncate jobledger.finished;
    select count(jobledger.place(t.f)) into v_rows
    from (select jobledger.fold(e order by e.version) as f from jobledger.events as e where e.shard = p_shard and e.type <= 'job.redacted' group by e.stream_id) as t
    where (t.f).state in ('succeeded', 'failed', 'killed', 'cancelled');
    perform jobledger.open(p_shard);
  else
    perform jobledger.refuse('JL101', 'The projections that can be rebuilt are queue and status.', 'Nothing was changed; mend the call.');
  end if;
  perform jobledger.append_control(p_shard, '_global', 'store', 'rebuild', 'store.rebuilt', jobledger.now(), null, jsonb_build_object('projection', p_projection, 'rows', v_rows));
  return v_rows;
end
$$;
