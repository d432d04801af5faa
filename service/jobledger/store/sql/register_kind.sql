-- Tell the database what a kind is; true if that differs from what it knew. $1 shard, $2 name, $3 version, $4 schema, $5 aliases, $6 defaults.
-- Two workers that start together meet at the kind's row; the second finds nothing to change.
select jobledger.register_kind($1::smallint, $2::text, $3::int, $4::text::jsonb, $5::text[], $6::text::jsonb)
