-- The event log: one row a fact, partitioned by stream id (a version 7 uuid carries its time, so a whole job lies in one partition).

-- Cache 1: a position is drawn after the job's row is locked, and must not come from a block reserved earlier.
create sequence jobledger.position as bigint cache 1;

create table jobledger.events (
  position bigint not null,
  xid xid8 not null,
  at timestamptz not null,
  stream_id uuid not null,
  version int not null,
  type jobledger.event_type not null,
  shard smallint not null,
  attempt smallint,
  worker uuid,
  tenant text collate "C" not null,
  actor text,
  data jsonb,
  primary key (shard, stream_id, version)
) partition by range (stream_id);

-- Law 2: the log only takes appends. Row triggers on the parent reach every partition; TRUNCATE needs a trigger on each table.
create function jobledger.forbid_change() returns trigger
language plpgsql
as $$
begin
  raise exception using errcode = 'JL700', message = format('The log only takes appends: %s on %I is refused.', lower(tg_op), tg_table_name),
    hint = 'Retention drops whole partitions; redaction has a function of its own.';
end
$$;

create trigger events_only_append before update or delete on jobledger.events for each row execute function jobledger.forbid_change();

create trigger events_never_truncate before truncate on jobledger.events for each statement execute function jobledger.forbid_change();

-- Control streams live for years, in a partition of their own that is never dropped.
create table jobledger.events_control (like jobledger.events including defaults including constraints);

create trigger events_never_truncate before truncate on jobledger.events_control for each statement execute function jobledger.forbid_change();

alter table jobledger.events attach partition jobledger.events_control for values from ('ffffffff-0000-0000-0000-000000000000') to (maxvalue);

-- The heads of control streams that have no row of their own.
create table jobledger.streams (
  id uuid not null,
  head int not null,
  shard smallint not null,
  primary key (shard, id)
);
