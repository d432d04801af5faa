-- What one tenant's, or one job's, part of the log is found by without reading everybody's.

-- Which block an event lies in: the first whose snapshot sees its transaction.
create index blocks_snapshot on jobledger.blocks (shard, epoch, pg_snapshot_xmax(snapshot), block);

-- The control streams of a tenant. Only the one partition that is never dropped has it: the events of jobs are found by the jobs' ids, and their partitions get no further index.
create index events_control_tenant on jobledger.events_control (tenant, position);

-- Which jobs were named by reports that were rejected: their events lie in the stream of whichever worker sent them, be it one that never had the job. Rare.
create table jobledger.rejected_reports (
  job uuid not null,
  worker uuid not null,
  version int not null,
  shard smallint not null,
  primary key (shard, job, worker, version)
);

alter table jobledger.rejected_reports enable row level security;

-- Those there are already, once: a large log is read for it.
insert into jobledger.rejected_reports (job, worker, version, shard)
select (e.data ->> 'job')::uuid, e.stream_id, e.version, e.shard from jobledger.events as e
where e.type = 'worker.report_rejected' and e.stream_id < 'ffffffff-0000-0000-0000-000000000000' and e.data ->> 'job' is not null;
