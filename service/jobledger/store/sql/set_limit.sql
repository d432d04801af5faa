-- Set defaults: $1 shard, $2 tenant, queue, kind or service, $3 its name, $4 json text of limits and values (null clears one), $5 actor, $6 reason.
select jobledger.set_limit($1::smallint, $2::text, $3::text, $4::text::jsonb, $5::text, $6::text)
