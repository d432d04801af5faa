-- How many jobs were in each state at a moment: $1 shard, $2 tenant (null: every one), $3 the text of the moment.
select tenant, queue, kind, state, jobs from jobledger.counts_as_of($1::smallint, $2::text, pg_catalog.jsonb_populate_record(null::jobledger.moment, $3::text::jsonb))
