-- One more event to a job that others write to as well: $1 job, $2 priority.
select verdict from jobledger.act(0::smallint, 'reprioritise', null, array[$1::uuid], 'bench', 'order', jsonb_build_object('priority', $2::int))
