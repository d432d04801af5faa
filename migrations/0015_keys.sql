-- The keys of the service: who may, over HTTP.

-- One row a key. The key itself is nowhere: `hash` is its SHA-256, by which it is found; `prefix` are its first characters, by which people tell keys apart.
-- `tenants` null: of every tenant; `owner`: bound to that owner's jobs. Fillfactor: `last_used`, written once a minute, is a HOT update.
create table jobledger.keys (
  id uuid not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used timestamptz,
  rate int,
  shard smallint not null,
  name text collate "C" not null,
  prefix text collate "C" not null,
  owner text collate "C",
  roles text[] collate "C" not null,
  tenants text[] collate "C",
  hash bytea not null,
  created_by text,
  primary key (shard, id)
) with (fillfactor = 80);

create unique index keys_hash on jobledger.keys (shard, hash);

alter table jobledger.keys enable row level security;
