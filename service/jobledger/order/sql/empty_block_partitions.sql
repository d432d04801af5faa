-- The partitions of blocks that lie wholly before the horizon and hold no row: $1 shard; `attached` is false for one whose dropping was interrupted.
select c.relname::text as name, i.inhrelid is not null as attached
from pg_catalog.pg_class as c
left join pg_catalog.pg_inherits as i on i.inhrelid = c.oid
cross join lateral (select case when c.relname ~ '^blocks_[0-9]+$' then pg_catalog.substr(c.relname, 8)::bigint * 1000000 end as first) as b
join jobledger.horizon as h on h.shard = $1::smallint and b.first + 999999 < h.block
where c.relnamespace = 'jobledger'::pg_catalog.regnamespace and c.relkind = 'r'
  and not exists (select from jobledger.blocks as x where x.shard = h.shard and x.block >= b.first and x.block < b.first + 1000000)
order by b.first
