-- Kill the open jobs whose kill date has passed, in every state, at most p_most; those with a date in their row by its index, those under the service's default of
-- 7 days by their id's own time, at most 1,000 rows looked at, going on after p_after; out `next` is where the following call goes on, null at the end of a round, `told` which jobs and by whose rule.
drop function if exists jobledger.kill_due;

create function jobledger.kill_due(p_shard smallint, p_now timestamptz, p_most int, p_after uuid, out killed int, out next uuid, out told jsonb)
language plpgsql
as $$
declare
  v_id uuid;
  v_before uuid := jobledger.first_id_at(p_now - interval '7 days');
  v_due uuid[];
  v_looked int;
  v_rule text;
  s jobledger.folded;
begin
  killed := 0;
  told := '[]';
  select array_agg(d.id) into v_due from (
    (select r.id from jobledger.ready as r where r.kill_at <= p_now order by r.kill_at limit p_most)
    union all (select w.id from jobledger.waiting as w where w.kill_at <= p_now order by w.kill_at limit p_most)
    union all (select r.id from jobledger.running as r where r.kill_at <= p_now order by r.kill_at limit p_most)
  ) as d;
  select v_due || array_agg(d.id) filter (where d.kill_at is null), count(*), max(d.id::text)::uuid into v_due, v_looked, next from (
    select a.id, a.kill_at from (
      (select r.id, r.kill_at from jobledger.ready as r where r.shard = p_shard and r.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') and r.id < v_before order by r.shard, r.id limit 1000)
      union all (select w.id, w.kill_at from jobledger.waiting as w where w.shard = p_shard and w.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') and w.id < v_before
        order by w.shard, w.id limit 1000)
      union all (select r.id, r.kill_at from jobledger.running as r where r.shard = p_shard and r.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') and r.id < v_before
        order by r.shard, r.id limit 1000)
    ) as a order by a.id limit 1000
  ) as d;
  if v_looked < 1000 then
    next := null;
  end if;
  for v_id in select distinct u from unnest(v_due) as u order by u limit p_most loop
    s := jobledger.taken(p_shard, v_id);
    continue when s.id is null;
    if s.kill_at > p_now or (s.kill_at is null and s.id >= v_before) then
      perform jobledger.place_back(s, p_now);
      continue;
    end if;
    v_rule := coalesce((select e.data ->> 'kill_rule' from jobledger.events as e
      where e.shard = p_shard and e.stream_id = v_id and e.data ? 'kill_rule' order by e.version desc limit 1), 'service');
    perform jobledger.append(s, 'job.killed', p_now, null, jsonb_build_object('rule', v_rule, 'kill_at', s.kill_at), s.worker,
      case s.state when 'running' then s.attempt end);
    killed := killed + 1;
    told := told || jsonb_build_object('topic', 'job_killed', 'job', v_id, 'tenant', s.tenant, 'rule', v_rule);
  end loop;
end
$$;
