-- How far positions are drawn, and up to where they are sealed: two looks, whatever the log holds.
select s.last_value as drawn, coalesce((select b.position_hwm from jobledger.blocks as b where b.shard = 0 order by b.block desc limit 1), 0) as sealed
from jobledger.position as s
