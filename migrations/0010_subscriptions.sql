-- Durable subscriptions: what each wants, how far its slices have come, who consumes them, and what was set aside. Nobody has a grant: the functions are the only door.

-- One row a subscription, of one tenant or of everybody (`_global`). Its lock orders takes, resets and removals; it is never held by who only moves a checkpoint.
create table jobledger.subscriptions (
  id uuid not null,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  lease_s int not null,
  max_failures int not null,
  backoff_s real not null,
  shard smallint not null,
  slices smallint not null,
  keep_order boolean not null,
  disabled boolean not null default false,
  tenant text collate "C" not null,
  name text collate "C" not null,
  filter jsonb not null,
  primary key (shard, tenant, name),
  unique (shard, id)
);

-- The checkpoint of each hash slice: everything up to (block, position) was consumed. `taken` rises each time the slice changes hands or is moved from outside, so that who
-- had it before moves nothing. `failing` is the position of the event that failed `failures` times; `deaths` counts consumers that ended without a word and without progress.
-- Fillfactor: a checkpoint is a HOT update.
create table jobledger.subscription_slices (
  subscription uuid not null,
  moved_at timestamptz not null,
  block bigint not null,
  position bigint not null,
  failing bigint,
  consumer uuid,
  epoch int not null,
  taken int not null default 0,
  failures int not null default 0,
  deaths int not null default 0,
  shard smallint not null,
  slice smallint not null,
  primary key (shard, subscription, slice)
) with (fillfactor = 20);

-- Who consumes a subscription now; the lease is the consumer's, so that to renew it is one row.
create table jobledger.subscription_consumers (
  subscription uuid not null,
  consumer uuid not null,
  joined_at timestamptz not null,
  lease_until timestamptz not null,
  shard smallint not null,
  about text,
  primary key (shard, subscription, consumer)
) with (fillfactor = 50);

-- Events that their consumer failed too often (aside), or that wait behind one of the same job where the subscription is strict (held); retry: to be given again.
-- The event itself is in the log.
create table jobledger.subscription_set_aside (
  subscription uuid not null,
  stream_id uuid not null,
  first_at timestamptz not null,
  changed_at timestamptz not null,
  block bigint not null,
  position bigint not null,
  epoch int not null,
  version int not null,
  failures int not null,
  shard smallint not null,
  slice smallint not null,
  state text collate "C" not null check (state in ('aside', 'held', 'retry', 'dropped')),
  error text,
  changed_by text,
  reason text,
  primary key (shard, subscription, position)
);

create index subscription_set_aside_retry on jobledger.subscription_set_aside (shard, subscription, block, position) where state = 'retry';

alter table jobledger.subscriptions enable row level security;

alter table jobledger.subscription_slices enable row level security;

alter table jobledger.subscription_consumers enable row level security;

alter table jobledger.subscription_set_aside enable row level security;
