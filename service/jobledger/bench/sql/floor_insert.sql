-- One batch of the floor: $1 stream ids, $2 data of each row, $3 the position before the first, $4 tenant.
-- No race: one connection is alone with the table.
insert into jobledger.bench_floor (shard, position, xid, tenant, stream_id, version, type, at, attempt, data)
select 0::smallint, $3 + n, pg_current_xact_id(), $4, stream_id, 1, 'job.enqueued', now(), 1::smallint, data
from unnest($1::uuid[], $2::jsonb[]) with ordinality as row(stream_id, data, n)
