-- Claim the one job that a hint names, if it is to be had.
select id, tenant, queue, kind, priority, attempt, max_attempts, claim, run_at, kill_at, timeout, data, owner, at from jobledger.claim_hinted($1::smallint, $2, $3, $4, $5, $6, $7)
