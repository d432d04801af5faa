-- Claim one waiting job by its id.
select id, tenant, queue, kind, priority, attempt, max_attempts, claim, run_at, kill_at, timeout, data, owner, at from jobledger.claim_job($1::smallint, $2, $3, $4, $5)
