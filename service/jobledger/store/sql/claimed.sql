-- What claim call $3 of worker $2 has taken and is still run; holds that number until the transaction ends, so that two claims under it never both take jobs.
select id, tenant, queue, kind, priority, attempt, max_attempts, claim, run_at, kill_at, timeout, data, owner, at from jobledger.claimed($1::smallint, $2, $3)
