-- Retention: which partitions of the log were given up, how far feeds may have lost something, and blocks that were merged behind that.

-- A partition of the log from the moment at which its jobs begin to go: ids in its range that nobody knows any more are gone, not unknown. The row stays when the partition is dropped.
create table jobledger.retired (
  lower uuid not null,
  upper uuid not null,
  begun_at timestamptz not null,
  dropped_at timestamptz,
  rows bigint not null default 0,
  shard smallint not null,
  name text collate "C" not null,
  begun_by text,
  primary key (shard, name)
);

alter table jobledger.retired enable row level security;

-- What retention took lies at or before this place in the order, the end of a block. A cursor before it is good only if it was given after the last drop: `generation` counts them.
create table jobledger.horizon (
  block bigint not null default 0,
  position bigint not null default 0,
  moved_at timestamptz,
  epoch int not null default 0,
  generation int not null default 0,
  shard smallint not null primary key
);

alter table jobledger.horizon enable row level security;

insert into jobledger.horizon (shard) values (0);

create function jobledger.only_forward() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'UPDATE' and new.shard = old.shard and (new.block, new.position) >= (old.block, old.position) and new.generation >= old.generation then
    return new;
  end if;
  raise exception using errcode = 'JL700', message = format('The horizon only moves forward: %s on %I is refused.', lower(tg_op), tg_table_name);
end
$$;

create trigger horizon_only_forward before update or delete on jobledger.horizon for each row execute function jobledger.only_forward();

create trigger horizon_never_truncate before truncate on jobledger.horizon for each statement execute function jobledger.forbid_change();

-- A merged block stands for those from this one to its own number.
alter table jobledger.blocks add column merged_from bigint;

-- Merging takes the place of blocks before the horizon; it names its own transaction, so that nothing else comes through beside it.
create function jobledger.forbid_change_but_merging() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'DELETE' and current_setting('jobledger.merging', true) = pg_current_xact_id()::text
      and old.block < (select h.block from jobledger.horizon as h where h.shard = old.shard) then
    return old;
  end if;
  raise exception using errcode = 'JL700', message = format('The log only takes appends: %s on %I is refused.', lower(tg_op), tg_table_name),
    hint = 'Retention merges blocks behind the horizon; nothing else changes them.';
end
$$;

drop trigger blocks_only_append on jobledger.blocks;

create trigger blocks_only_append before update or delete on jobledger.blocks for each row execute function jobledger.forbid_change_but_merging();
