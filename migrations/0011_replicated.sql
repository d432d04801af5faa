-- Logical replication copies rows and no sequence. On a subscriber a position that is drawn before the database was opened would lie among those that were sealed long ago,
-- and its event would never be sealed. So the first block that comes by replication uses the sequence up: whoever appends is refused (2200H, which reads as "not open"),
-- until opening begins a new epoch and sets it. Fires in the process that applies only: sealing pays nothing for it.
create function jobledger.shut_position() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform setval('jobledger.position', 9223372036854775807) from jobledger.position as s where s.last_value < 9223372036854775807;
  return null;
end
$$;

create trigger blocks_replicated after insert on jobledger.blocks for each row execute function jobledger.shut_position();

alter table jobledger.blocks enable replica trigger blocks_replicated;

-- The one logged table without a key: its rows are deleted, which a publication of the schema would refuse.
alter table jobledger.queue_snapshot_rows replica identity full;
