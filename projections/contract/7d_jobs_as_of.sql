-- The jobs that fitted at a moment, newest first below an id: at most `p_limit` of them, from at most `p_window` of the newest jobs, each looked at as it was then: the row of now where its
-- last event counts already, else the fold of those that do. This bounds the cost: most jobs have not changed since. The last row has no job and
-- says how many were looked at, the last of them, and from when on jobs are kept (null: all are). Which jobs there are is taken from the tables of now (so they must be open), from ids up to six minutes after the moment: a client may
-- have made one that was five ahead. Stable: every part of it sees one snapshot, so that no job is missed that moves from table to table. Only for who sees every tenant.
drop function if exists jobledger.jobs_as_of;

create function jobledger.jobs_as_of(p_shard smallint, p_moment jobledger.moment, p_tenant text, p_states text[], p_below uuid, p_limit int, p_window int default 10000, p_queue text default null,
  p_kind text default null, p_owner text default null, p_tag text default null)
returns table (job jobledger.jobs, looked_at int, last_id uuid, horizon timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  c record;
  v_then jobledger.jobs;
  v_below uuid := least(p_below, jobledger.first_id_at(p_moment.at + interval '6 minutes'));
  v_looked int := 0;
  v_got int := 0;
  v_chunk int := p_limit;
  v_came int;
begin
  perform jobledger.check_words(p_shard, null, null);
  perform jobledger.check_moment(p_moment);
  if p_limit is null or p_window is null or p_limit not between 1 and 1001 or p_window not between 1 and 10000 or p_below is null or p_states is null
    or not p_states <@ enum_range(null::jobledger.job_state)::text[] then
    perform jobledger.refuse('JL101', 'A page has 1 to 1001 jobs of at most 10000 that are looked at, below an id, in some states, at a moment.', 'Mend the call.');
  end if;
  perform jobledger.must_see_order();
  perform jobledger.must_be_open(p_shard);
  while v_got < p_limit and v_looked < p_window loop
    v_chunk := least(greatest(v_chunk, 50), p_window - v_looked);
    v_came := 0;
    for c in select n as job, h.seen, h.at from (
      select x.* from jobledger.newest_of_tenant(p_shard, p_tenant, v_below, v_chunk) as x where p_tenant is not null
      union all select x.* from jobledger.newest_of_all(p_shard, v_below, v_chunk) as x where p_tenant is null
    ) as n left join lateral (
      select jobledger.was_seen(e.position, e.xid, p_moment) as seen, e.at from jobledger.events as e where e.shard = n.shard and e.stream_id = n.id and e.version = n.head offset 0
    ) as h on true loop
      v_then := c.job;
      v_came := v_came + 1;
      v_looked := v_looked + 1;
      v_below := v_then.id;
      continue when (p_kind is not null and v_then.kind <> p_kind) or (p_owner is not null and v_then.owner is distinct from p_owner);
      if c.seen then
        v_then.state := jobledger.named_state(v_then.state, v_then.run_at, c.at, p_moment.at);
        v_then.reason := case when v_then.state in ('parked', 'running') then v_then.reason end;
      else
        v_then := jobledger.job_then(p_shard, v_below, p_moment, p_states);
      end if;
      if v_then.id is not null and v_then.state::text = any (p_states) and (p_queue is null or v_then.queue = p_queue) and (p_tag is null or exists (
        select from jobledger.events as e where e.shard = p_shard and e.stream_id = v_below and e.version = 1 and e.data -> 'tags' ? p_tag)) then
        v_got := v_got + 1;
        return query select v_then, v_looked, v_below, null::timestamptz;
        exit when v_got = p_limit;
      end if;
    end loop;
    exit when v_came < v_chunk;
    v_chunk := v_chunk * 2;
  end loop;
  return query select null::jobledger.jobs, v_looked, v_below, (select max(jobledger.time_of(x.upper)) from jobledger.retired as x where x.shard = p_shard);
end
$$;
