-- The same shape as `live_rows`, from the log alone.
drop function if exists jobledger.folded_rows;

create function jobledger.folded_rows(p_shard smallint, p_ids uuid[] default null)
returns table (id uuid, tenant text, place text, head int, claim int, said text)
language sql stable
as $$
  select (t.f).id, (t.f).tenant, case (t.f).state when 'ready' then 'open' else (t.f).state::text end, (t.f).head, (t.f).claim,
    case when (t.f).state in ('succeeded', 'failed', 'killed', 'cancelled')
      then row((t.f).kind, (t.f).queue, (t.f).priority, (t.f).attempt, (t.f).max_attempts, (t.f).owner, extract(epoch from (t.f).at))::text
      else row((t.f).kind, (t.f).queue, (t.f).priority, (t.f).attempt, (t.f).max_attempts, (t.f).releases, (t.f).timeout, extract(epoch from (t.f).run_at),
        extract(epoch from (t.f).kill_at), (t.f).owner, (t.f).unique_key, (t.f).worker, (t.f).call, case when (t.f).state = 'running' then (t.f).cancel_requested end,
        extract(epoch from (t.f).claimed_at), extract(epoch from (t.f).timeout_at))::text end
  from (
    select jobledger.fold(e order by e.version) as f from jobledger.events as e
    where e.shard = p_shard and e.type <= 'job.redacted' and (p_ids is null or e.stream_id = any (p_ids)) group by e.stream_id offset 0
  ) as t
$$;
