-- See to two partitions of `blocks` ahead of the last block, a million numbers each (five hours and more); returns how many were made. Made standalone with their own TRUNCATE
-- trigger and attached, as those of the log, so that nobody waits behind an open reader. Two callers meet at an advisory lock, and the second leaves it to the first.
create or replace function jobledger.blocks_ensure(p_shard smallint) returns int
language plpgsql set lock_timeout = '200ms'
as $$
declare
  v_first bigint := coalesce((select b.block from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1), 0) / 1000000;
  v_made int := 0;
  v_part bigint;
begin
  for v_part in select p from generate_series(v_first, v_first + 2) as p where to_regclass('jobledger.blocks_' || p) is null loop
    if not pg_try_advisory_xact_lock(hashtextextended('jobledger.blocks_ensure', 0)) or to_regclass('jobledger.blocks_' || v_part) is not null then
      exit;
    end if;
    begin
      execute format('create table jobledger.%I (like jobledger.blocks including defaults including constraints)', 'blocks_' || v_part);
      execute format('create trigger blocks_never_truncate before truncate on jobledger.%I for each statement execute function jobledger.forbid_change()', 'blocks_' || v_part);
      execute format('alter table jobledger.blocks attach partition jobledger.%I for values from (%L) to (%L)', 'blocks_' || v_part, v_part * 1000000, (v_part + 1) * 1000000);
      v_made := v_made + 1;
    exception when lock_not_available then
      exit;
    end;
  end loop;
  return v_made;
end
$$;
