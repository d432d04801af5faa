-- Delete the row of a job that `row_faults` found wrong, from the place where it lay. The caller has locked it.
create or replace function jobledger.take_away(p_shard smallint, p_job uuid, p_found text) returns void
language plpgsql set enable_seqscan = off
as $$
declare
  v_place text := split_part(p_found, ' ', 1);
begin
  if v_place = 'running' then
    delete from jobledger.running as r where r.shard = p_shard and r.id = p_job;
  elsif v_place in ('open', 'parked', 'astray') then
    delete from jobledger.ready as r where r.shard = p_shard and r.id = p_job and v_place = 'open';
    delete from jobledger.waiting as w where w.shard = p_shard and w.id = p_job;
  else
    delete from jobledger.finished as f where f.shard = p_shard and f.id = p_job and f.state::text = v_place;
  end if;
end
$$;
