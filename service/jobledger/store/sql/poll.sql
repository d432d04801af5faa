-- A worker that waits ticks and claims in one exchange: $1 to $27 as in `claim`, $28 the job after which the tick looks for kill dates, or null. The claim's shard hangs
-- on the tick's answer, so that the tick comes first and what it promotes is taken at once. `said` is that answer.
with ticked as materialized (
  select jobledger.tick($1::smallint, $28::uuid)::text as said
)
select t.said, c.* from ticked as t
cross join lateral jobledger.claim(case when t.said is not null then $1::smallint end, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::smallint[], $12, $13, $14, $15, $16, $17, $18, $19, $20, $21::smallint[], $22, $23::smallint[], $24, $25, $26, $27) as c
