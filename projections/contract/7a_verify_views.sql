-- Where the views `jobs` and `dead_letter` do not show what lies in the tables, for the jobs after `p_after` up to `p_upto`: one row a difference. In the snapshot of the page
-- that is verified. Only for who sees every tenant.
drop function if exists jobledger.verify_views;

create function jobledger.verify_views(p_shard smallint, p_after uuid, p_upto uuid) returns table (id uuid, view text, found text, expected text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  perform jobledger.check_verify(p_shard, 1, num_nulls(p_after, p_upto));
  return query
  select coalesce(v.id, t.id), 'jobs', v.said, t.said from (
    select j.id, row(case j.state when 'scheduled' then 'ready' else j.state end, j.head, j.tenant, j.queue, j.kind, j.priority, j.attempt, j.max_attempts, j.owner, j.claim, j.worker,
      extract(epoch from j.claimed_at), extract(epoch from j.run_at), extract(epoch from j.kill_at), extract(epoch from j.finished_at))::text as said
    from jobledger.jobs as j where j.shard = p_shard and j.id > p_after and j.id <= p_upto
  ) as v full join (
    select f.id, row(f.state, f.head, f.tenant, f.queue, f.kind, f.priority, f.attempt, f.max_attempts, f.owner, null, null, null, null, null, extract(epoch from f.finished_at))::text as said
    from jobledger.finished as f where f.shard = p_shard and f.id > p_after and f.id <= p_upto
    union all
    select r.id, row('ready', r.head, r.tenant, r.queue, r.kind, r.priority, r.attempt, r.max_attempts, r.owner, null, null, null, extract(epoch from r.run_at), extract(epoch from r.kill_at), null)::text
    from jobledger.ready as r where r.shard = p_shard and r.id > p_after and r.id <= p_upto
    union all
    select w.id, row(case w.state when 'scheduled' then 'ready' else w.state end, w.head, w.tenant, w.queue, w.kind, w.priority, w.attempt, w.max_attempts, w.owner, null, null, null,
      extract(epoch from w.run_at), extract(epoch from w.kill_at), null)::text
    from jobledger.waiting as w where w.shard = p_shard and w.id > p_after and w.id <= p_upto
    union all
    select r.id, row('running', r.head, r.tenant, r.queue, r.kind, r.priority, r.attempt, r.max_attempts, r.owner, r.claim, r.worker, extract(epoch from r.claimed_at), extract(epoch from r.run_at),
      extract(epoch from r.kill_at), null)::text
    from jobledger.running as r where r.shard = p_shard and r.id > p_after and r.id <= p_upto
  ) as t on t.id = v.id and t.said = v.said where t.id is null or v.id is null
  union all
  select coalesce(v.id, f.id), 'dead_letter', v.id::text, f.id::text from (
    select d.id from jobledger.dead_letter as d where d.shard = p_shard and d.id > p_after and d.id <= p_upto
  ) as v full join (
    select f.id from jobledger.finished as f where f.shard = p_shard and f.id > p_after and f.id <= p_upto and f.state = 'failed'
  ) as f on f.id = v.id where f.id is null or v.id is null;
end
$$;
