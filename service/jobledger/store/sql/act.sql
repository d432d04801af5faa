-- An operator's act on jobs: $1 shard, $2 act, $3 tenant or null for any, $4 ids, $5 actor, $6 reason, $7 data as json text, $8 owner or null for any.
select a.id, a.verdict, a.state from jobledger.act($1::smallint, $2::text, $3::text, $4::uuid[], $5::text, $6::text, $7::text::jsonb, $8::text) as a
