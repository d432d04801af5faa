-- What happened in each minute, by the state it led to. `measure` is the event (enqueued, claimed, failed, …), with bucket 0 and how often; or wait, run or age, with how many took so long
-- as the bucket says (jobledger.bucket_of): from due to claimed, from claimed to the attempt's end, from enqueued to the job's end.
create table minutes (
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
) with (fillfactor = 80);

create index minutes_age on minutes using brin (minute);
