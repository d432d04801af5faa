-- Projections that are folded from the sealed log, behind the transactions that append to it: how far each has come.

-- One row a projection, and beside it one of the `shadow` that a rebuild makes. The tables lie in schemas of their own (jobledger_NAME, the shadow's in jobledger_NAME_next) and
-- hold the events up to `block`: fold and checkpoint are one transaction, under this row's lock, so that however many runners there are one is at it.
-- Many updates in place, none of an indexed column.
create table jobledger.projections (
  made_at timestamptz not null,
  updated_at timestamptz not null,
  as_of timestamptz,
  failed_at timestamptz,
  block bigint not null,
  events bigint not null,
  version int not null,
  epoch int not null,
  shard smallint not null,
  shadow boolean not null,
  effects boolean not null,
  made boolean not null,
  state text collate "C" not null check (state in ('running', 'rebuilding', 'stopped')),
  name text collate "C" not null check (name ~ '^[a-z][a-z0-9_]{0,39}$'),
  checksum text,
  error text,
  primary key (shard, name, shadow)
) with (fillfactor = 50);

alter table jobledger.projections enable row level security;
