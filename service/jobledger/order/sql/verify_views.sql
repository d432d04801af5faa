-- Where the views do not show what lies in the tables: $1 shard, $2 after this job, $3 up to this one.
select id, view, found, expected from jobledger.verify_views($1::smallint, $2::uuid, $3::uuid)
