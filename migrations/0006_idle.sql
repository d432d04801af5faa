-- Wake-up: which workers wait for jobs, and the channel on which they are told that one came.

-- Who enqueues a job that is due looks here, and sends a hint (NOTIFY) only when somebody waits. A lost flag costs no more than the worker's own timer, so the table is
-- unlogged; a flag ends with its worker's lease.
create unlogged table jobledger.idle (
  worker uuid not null,
  since timestamptz not null,
  shard smallint not null,
  primary key (shard, worker)
);

-- Anybody who may connect can LISTEN, and would hear when other tenants enqueue: so the channel's name is a secret, told to who may see every tenant.
create table jobledger.channels (
  shard smallint not null primary key,
  name text collate "C" not null default 'jobledger_' || pg_catalog.translate(pg_catalog.gen_random_uuid()::text, '-', '')
);

insert into jobledger.channels (shard) values (0);
