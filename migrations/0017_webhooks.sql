-- Webhooks: whose endpoint gets which events, and how its deliveries go. Each is a durable subscription underneath, of the same id and the name `webhook:<id>`, which has its place.
-- Nobody has a grant: the functions are the only door. No secret is here: it is derived from the service's key by id and generation.

-- One row a webhook. `rotated_at`: until a day later the secret of the generation before is good, too. Fillfactor: what became of the last delivery is a HOT update.
create table jobledger.webhooks (
  id uuid not null,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  attempted_at timestamptz,
  succeeded_at timestamptz,
  rotated_at timestamptz,
  generation int not null default 1,
  last_status int,
  batch smallint not null,
  shard smallint not null,
  tenant text collate "C" not null,
  name text collate "C" not null,
  url text not null,
  last_fault text,
  disabled_reason text,
  primary key (shard, id),
  unique (shard, tenant, name)
) with (fillfactor = 50);

-- The slices of a webhook whose next event its endpoint does not take: since when, and how often it was tried.
create table jobledger.webhook_failures (
  webhook uuid not null,
  since timestamptz not null,
  failures int not null,
  shard smallint not null,
  slice smallint not null,
  primary key (shard, webhook, slice)
) with (fillfactor = 50);

alter table jobledger.webhooks enable row level security;

alter table jobledger.webhook_failures enable row level security;
