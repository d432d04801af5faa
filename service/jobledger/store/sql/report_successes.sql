-- Report that jobs succeeded and have nothing to say: $1 shard, $2 worker, $3 ids ascending, $4 the claim of each, $5 how many, $6 leave out what was accepted.
select r.id, r.verdict, r.state, r.reason
from jobledger.report($1::smallint, $2::uuid, $3::uuid[], array_fill($4::int, array[$5::int]), array_fill('succeeded'::text, array[$5]), array_fill(null::jsonb, array[$5]), $6) as r
