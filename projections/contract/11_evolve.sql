-- One event applied to what the stream said before: the same table of transitions as `jobledger.lifecycle` in Python; a property test compares the two.
-- A version that does not follow, or an event that its state does not allow, is refused: such a stream cannot have been written by the append functions.
create or replace function jobledger.evolve(s jobledger.folded, e jobledger.events) returns jobledger.folded
language plpgsql stable
as $$
declare
  v_back boolean := false;
begin
  if e.version <> coalesce(s.head, 0) + 1 then
    perform jobledger.refuse('JL204', format('Stream %s jumps from version %s to %s.', e.stream_id, coalesce(s.head, 0), e.version), 'Run `jobledger doctor`.');
  end if;
  if (case
        when e.type = 'job.enqueued' then s.state is not null
        when e.type in ('job.claimed', 'job.rescheduled') then s.state is distinct from 'ready'
        when e.type in ('job.progressed', 'job.succeeded', 'job.failed', 'job.lease_expired', 'job.snoozed', 'job.interrupted', 'job.released', 'job.parked', 'job.cancel_requested')
          then s.state is distinct from 'running'
        when e.type = 'job.unparked' then s.state is distinct from 'parked'
        when e.type in ('job.cancelled', 'job.killed') then s.state is null or s.state in ('succeeded', 'failed', 'killed', 'cancelled')
        when e.type = 'job.retried' then s.state is null or s.state not in ('failed', 'killed', 'cancelled')
        when e.type in ('job.reprioritised', 'job.moved') then s.state is null or s.state not in ('ready', 'parked')
        when e.type = 'job.redacted' then s.state is null or s.state not in ('succeeded', 'failed', 'killed', 'cancelled')
        else false
      end) then
    perform jobledger.refuse('JL204', format('Stream %s, version %s: %s is not possible in state %s.', e.stream_id, e.version, e.type, coalesce(s.state::text, 'none')),
      'Run `jobledger doctor`.');
  end if;
  if (case
        when e.type = 'job.claimed' then s.attempt >= s.max_attempts or e.attempt <> s.attempt + 1
        when e.type in ('job.failed', 'job.lease_expired') then e.data ? 'retry_at' and s.attempt >= s.max_attempts
        when e.type = 'job.released' then s.releases >= 2
        when e.type = 'job.retried' then s.attempt >= (e.data ->> 'max_attempts')::int
        else false
      end) then
    perform jobledger.refuse('JL204', format('Stream %s, version %s: %s is not possible after %s of %s attempts and %s releases.', e.stream_id, e.version, e.type, s.attempt,
      s.max_attempts, s.releases), 'Run `jobledger doctor`.');
  end if;
  s.head := e.version;
  s.at := e.at;
  case e.type
    when 'job.enqueued' then
      s.id := e.stream_id;
      s.shard := e.shard;
      s.tenant := e.tenant;
      s.state := 'ready';
      s.kind := e.data ->> 'kind';
      s.queue := coalesce(e.data ->> 'queue', 'default');
      s.priority := coalesce((e.data ->> 'priority')::smallint, 0);
      s.run_at := coalesce((e.data ->> 'run_at')::timestamptz, e.at);
      s.kill_at := (e.data ->> 'kill_at')::timestamptz;
      s.timeout := coalesce((e.data ->> 'timeout')::int, 1800);
      s.max_attempts := coalesce((e.data ->> 'max_attempts')::smallint, 5);
      s.owner := e.data ->> 'owner';
      s.unique_key := e.data ->> 'unique';
      s.attempt := 0;
      s.releases := 0;
      s.cancel_requested := false;
    when 'job.claimed' then
      s.state := 'running';
      s.attempt := s.attempt + 1;
      s.worker := e.worker;
      s.call := (e.data ->> 'call')::int;
      s.claim := e.version;
      s.claimed_at := e.at;
      s.timeout_at := e.at + make_interval(secs => s.timeout);
      s.cancel_requested := false;
    when 'job.progressed', 'job.redacted' then
      null;
    when 'job.cancel_requested' then
      s.cancel_requested := true;
    when 'job.failed', 'job.lease_expired' then
      v_back := true;
      s.releases := 0;
      s.run_at := coalesce((e.data ->> 'retry_at')::timestamptz, s.run_at);
      s.state := case when e.data ? 'retry_at' then 'ready' else 'failed' end;
    when 'job.succeeded' then
      v_back := true;
      s.state := 'succeeded';
    when 'job.snoozed' then
      v_back := true;
      s.releases := 0;
      s.attempt := s.attempt - 1;
      s.run_at := (e.data ->> 'run_at')::timestamptz;
      s.state := 'ready';
    when 'job.interrupted', 'job.released' then
      v_back := true;
      s.releases := case e.type when 'job.released' then s.releases + 1 else 0 end;
      s.attempt := s.attempt - 1;
      s.state := 'ready';
    when 'job.parked' then
      v_back := true;
      s.releases := 0;
      s.attempt := s.attempt - 1;
      s.state := 'parked';
      s.reason := e.data ->> 'reason';
    when 'job.unparked' then
      s.state := 'ready';
      s.reason := null;
      s.run_at := e.at;
    when 'job.cancelled', 'job.killed' then
      v_back := true;
      s.state := case e.type when 'job.killed' then 'killed' else 'cancelled' end;
    when 'job.retried' then
      s.state := 'ready';
      s.releases := 0;
      s.reason := null;
      s.run_at := coalesce((e.data ->> 'run_at')::timestamptz, e.at);
      s.kill_at := (e.data ->> 'kill_at')::timestamptz;
      s.max_attempts := (e.data ->> 'max_attempts')::smallint;
    when 'job.rescheduled' then
      s.run_at := (e.data ->> 'run_at')::timestamptz;
      s.kill_at := (e.data ->> 'kill_at')::timestamptz;
    when 'job.reprioritised' then
      s.priority := (e.data ->> 'priority')::smallint;
    when 'job.moved' then
      s.queue := e.data ->> 'queue';
    else
      perform jobledger.refuse('JL204', format('Stream %s is no job: it holds %s.', e.stream_id, e.type));
  end case;
  if v_back then
    s.worker := null;
    s.call := null;
    s.claim := null;
    s.claimed_at := null;
    s.timeout_at := null;
    s.cancel_requested := false;
  end if;
  return s;
end
$$;
