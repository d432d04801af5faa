-- Which queues are delivered to endpoints. Nobody has a grant: the functions are the only door. The secret is not here: it is derived, by the generation.

-- One row a push, of every tenant (`_global`) or of one. `generation` counts the secrets; the one before is signed with, too, for a day after it was changed.
create table jobledger.pushes (
  changed_at timestamptz not null,
  rotated_at timestamptz not null,
  batch int not null,
  concurrency int not null,
  max_run int not null,
  generation int not null,
  shard smallint not null,
  start_failure text collate "C" not null check (start_failure in ('attempt', 'free')),
  tenant text collate "C" not null,
  queue text collate "C" not null,
  url text not null,
  changed_by text,
  reason text,
  primary key (shard, queue, tenant)
);

alter table jobledger.pushes enable row level security;
