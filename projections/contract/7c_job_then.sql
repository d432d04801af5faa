-- A job as it was at a moment, from its row of now: where its last event counts already, that row, named by the moment's clock; else the fold of those that count. All null: it was not
-- there yet. This is what bounds the cost: most jobs of a list have not changed since.
create or replace function jobledger.job_then(j jobledger.jobs, p_moment jobledger.moment) returns jobledger.jobs
language plpgsql stable
as $$
declare
  v_last record;
begin
  select e.position, e.xid, e.at into v_last from jobledger.events as e where e.shard = j.shard and e.stream_id = j.id and e.version = j.head;
  if jobledger.was_seen(v_last.position, v_last.xid, p_moment) then
    j.state := jobledger.named_state(j.state, j.run_at, v_last.at, p_moment.at);
    j.reason := case when j.state in ('parked', 'running') then j.reason end;
    return j;
  end if;
  return (
    select jobledger.jobs_row(f.f, p_moment.at) from (
      select jobledger.fold(e order by e.version) as f from jobledger.events as e
      where e.shard = j.shard and e.stream_id = j.id and jobledger.was_seen(e.position, e.xid, p_moment)
    ) as f where (f.f).id is not null
  );
end
$$;
