-- Projections that are folded from the sealed log and stand still or lag: $1 shard, $2 seconds behind.
select p.name, p.shadow, p.state, p.error, p.behind, p.behind_s from jobledger.projection_list($1::smallint) as p
where p.state = 'stopped' or p.behind_s > $2::float8
