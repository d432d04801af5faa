-- A job as it was at a moment at which not all of its events counted yet: the fold of those that did. All null: it was not there yet, or in none of the states asked for, which its last event
-- that led to one tells without the fold.
create or replace function jobledger.job_then(p_shard smallint, p_id uuid, p_moment jobledger.moment, p_states text[]) returns jobledger.jobs
language plpgsql stable
as $$
declare
  v_state jobledger.job_state;
begin
  select jobledger.step_state(e.type, e.data) into v_state from jobledger.events as e
  where e.shard = p_shard and e.stream_id = p_id and jobledger.was_seen(e.position, e.xid, p_moment) and jobledger.step_state(e.type, e.data) is not null order by e.version desc limit 1;
  if v_state is null or not (v_state::text = any (p_states) or (v_state = 'ready' and 'scheduled' = any (p_states))) then
    return null;
  end if;
  return (
    select jobledger.jobs_row(f.f, p_moment.at) from (
      select jobledger.fold(e order by e.version) as f from jobledger.events as e
      where e.shard = p_shard and e.stream_id = p_id and jobledger.was_seen(e.position, e.xid, p_moment)
    ) as f where (f.f).id is not null
  );
end
$$;
