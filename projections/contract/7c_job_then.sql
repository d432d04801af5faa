-- A job as it was at a moment, from its row of now: where its last event counts already, that row, named by the moment's clock; else the fold of those that count. All null: it was not
-- there yet, or in none of the states asked for, which its last event that led to one tells without the fold. This is what bounds the cost: most jobs of a list have not changed since.
create or replace function jobledger.job_then(j jobledger.jobs, p_moment jobledger.moment, p_states text[]) returns jobledger.jobs
language plpgsql stable
as $$
declare
  v_last record;
  v_state jobledger.job_state;
begin
  select e.position, e.xid, e.at into v_last from jobledger.events as e where e.shard = j.shard and e.stream_id = j.id and e.version = j.head;
  if jobledger.was_seen(v_last.position, v_last.xid, p_moment) then
    j.state := jobledger.named_state(j.state, j.run_at, v_last.at, p_moment.at);
    j.reason := case when j.state in ('parked', 'running') then j.reason end;
    return j;
  end if;
  if cardinality(p_states) < cardinality(enum_range(null::jobledger.job_state)) then
    select jobledger.step_state(e.type, e.data) into v_state from jobledger.events as e
    where e.shard = j.shard and e.stream_id = j.id and jobledger.was_seen(e.position, e.xid, p_moment) and jobledger.step_state(e.type, e.data) is not null order by e.version desc limit 1;
    if v_state is null or not (v_state::text = any (p_states) or (v_state = 'ready' and 'scheduled' = any (p_states))) then
      return null;
    end if;
  end if;
  return (
    select jobledger.jobs_row(f.f, p_moment.at) from (
      select jobledger.fold(e order by e.version) as f from jobledger.events as e
      where e.shard = j.shard and e.stream_id = j.id and jobledger.was_seen(e.position, e.xid, p_moment)
    ) as f where (f.f).id is not null
  );
end
$$;
