-- Attach a partition again that was detached while a transaction was open that needs it. The constraint that detaching left makes it a matter of a moment.
create or replace function jobledger.partition_reattach(p_shard smallint, p_name text) returns void
language plpgsql set lock_timeout = '2s'
as $$
declare
  r jobledger.retired;
begin
  select t.* into r from jobledger.retired as t where t.shard = p_shard and t.name = p_name and t.dropped_at is null;
  execute format('alter table jobledger.events attach partition jobledger.%I for values from (%L) to (%L)', p_name, r.lower, r.upper);
end
$$;
