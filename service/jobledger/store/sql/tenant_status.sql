-- How a tenant does, and, for a token, what this very statement saw: $1 shard, $2 tenant, $3 and $4 the period (null: the last hour), $5 whether a token is wanted.
-- `offset 0`: pulled up into the join, what was seen would be looked up though nobody asked.
select jobledger.tenant_status($1::smallint, $2::text, $3::timestamptz, $4::timestamptz)::text as status, s.epoch as seen_epoch, s.mark as seen_mark, s.block as seen_block, s.position as seen_position,
  s.snapshot as seen_snapshot
from (select 1) as one left join lateral (select x.* from jobledger.seen($1::smallint) as x where $5::boolean offset 0) as s on true
