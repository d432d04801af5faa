-- Minutes older than jobledger.minutes_kept (default 7 days), folded into hours: the same columns, `minute` is where the hour begins. Kept for jobledger.hours_kept (default 2 years).
create table hours (
  minute timestamptz not null,
  count bigint not null,
  shard smallint not null,
  bucket smallint not null,
  state jobledger.job_state not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  measure text collate "C" not null,
  primary key (shard, tenant, minute, queue, kind, state, measure, bucket)
);

create index hours_age on hours using brin (minute);
