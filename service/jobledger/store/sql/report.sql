-- Report outcomes: $1 shard, $2 worker, $3 ids ascending, $4 claims, $5 outcomes, $6 data as json texts, $7 leave out what was accepted. Cast from text, so that no codec of the pool matters.
select r.id, r.verdict, r.state, r.reason
from jobledger.report($1::smallint, $2::uuid, $3::uuid[], $4::int[], $5::text[], $6::text[]::jsonb[], $7) as r
