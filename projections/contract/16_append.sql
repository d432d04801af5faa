-- The one door for everything that is not the hot path: one event to a job whose live row the caller has taken (or whose `finished` row it has deleted).
-- Draws the position after the job's row is locked, and by the statement that locks the log: who waits for a new epoch to begin gets one above its floor. Evolves the state, and places the row: fact and effect are one, and the live row is what the fold says by construction.
create or replace function jobledger.append(
  s jobledger.folded, p_type jobledger.event_type, p_at timestamptz, p_actor text, p_data jsonb, p_worker uuid default null, p_attempt smallint default null
) returns jobledger.folded
language plpgsql
as $$
declare
  e jobledger.events;
begin
  insert into jobledger.events as n (position, xid, at, stream_id, version, type, shard, attempt, worker, tenant, actor, data)
  values (nextval('jobledger.position'), pg_current_xact_id(), p_at, s.id, s.head + 1, p_type, s.shard, p_attempt, p_worker, s.tenant, p_actor, p_data)
  returning n.* into e;
  s := jobledger.evolve(s, e);
  perform jobledger.place(s);
  if s.state in ('succeeded', 'failed', 'killed', 'cancelled') and s.unique_key is not null then
    delete from jobledger.unique_keys as u where u.shard = s.shard and u.tenant = s.tenant and u.key = s.unique_key and u.id = s.id;
  end if;
  return s;
end
$$;
