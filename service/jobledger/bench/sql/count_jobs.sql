-- How many jobs there are in all places, and whether one lies in two of the live ones.
select (select count(*) from jobledger.ready) + (select count(*) from jobledger.waiting) + (select count(*) from jobledger.running) + (select count(*) from jobledger.finished) as jobs,
  exists (select from jobledger.ready as r join jobledger.running as o using (shard, id)) as twice
