-- What a claim call of a worker has taken and its worker still runs: the answer to a claim that is asked for again under its number, because the first answer was lost.
-- Errors: those of a claim. Another role's worker is unknown (see worker_is_mine); jobs of tenants that the caller may not see are left out.
-- The race of two claims under one number, on two connections or in two processes: the first holds the number until its transaction ends, the second then sees what it took.
-- The number is held for the transaction, so the claim that may follow an empty answer belongs into the same one.
-- Plans: `is true` keeps the primary key away, by which the jobs of every worker would be read; no bitmap, which marks no dead entry as such.
drop function if exists jobledger.claimed;

create function jobledger.claimed(p_shard smallint, p_worker uuid, p_call int)
returns table (at timestamptz, id uuid, tenant text, queue text, kind text, priority smallint, attempt smallint, max_attempts smallint, claim int, run_at timestamptz, kill_at timestamptz,
  timeout int, owner text, data text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  v_tenants text[];
begin
  if p_call is null or p_call < 0 then
    perform jobledger.refuse('JL101', 'A claim call has a number, 0 or more.', 'Mend the call.');
  end if;
  v_tenants := jobledger.may_claim(p_shard, p_worker, v_now);
  perform pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'jobledger.claimed', p_shard, p_worker, p_call), 0));
  return query select v_now, r.id, r.tenant, r.queue, r.kind, r.priority, r.attempt, r.max_attempts, r.claim, r.run_at, r.kill_at, r.timeout, r.owner, e.data::text
  from jobledger.running as r cross join lateral (select x.data from jobledger.events as x where x.shard = p_shard and x.stream_id = r.id and x.version = 1 limit 1) as e
  where (r.shard = p_shard) is true and r.worker = p_worker and r.call = p_call and (v_tenants is null or r.tenant = any (v_tenants))
  order by r.id;
end
$$;
