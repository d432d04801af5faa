-- What the blocks say, once, at the end.
select count(*) as blocks, coalesce(sum(count), 0)::bigint as events, coalesce(max(count), 0) as largest, coalesce(max(parts), 0) as parts from jobledger.blocks
