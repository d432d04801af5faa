-- See to the partition of this month, of the last (ids are taken an hour back) and of `p_ahead` months to come; returns how many were made.
-- A lock that is not to be had in time is left to the next call: inserts never wait for this.
create or replace function jobledger.partitions_ensure(p_shard smallint default 0, p_ahead int default 3) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_made int := 0;
  v_month int;
begin
  for v_month in select m from generate_series(-1, p_ahead) as m where to_regclass('jobledger.events_' || to_char(date_trunc('month', v_now at time zone 'UTC') + m * interval '1 month', 'YYYY_MM')) is null loop
    begin
      if jobledger.partition_add(date_trunc('month', v_now, 'UTC') + v_month * interval '1 month') then
        v_made := v_made + 1;
      end if;
    exception when lock_not_available then
      exit;
    end;
  end loop;
  return v_made;
end
$$;
