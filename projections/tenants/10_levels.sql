-- How many jobs are in each state, per tenant, queue and kind, as of the projection's checkpoint. To the state machine scheduled and ready are one state: `due` and `delayed` part them.
-- Only deltas are added, so a key that fell to 0 stays. Many updates in place, none of an indexed column.
create table levels (
  count bigint not null,
  block bigint not null,
  shard smallint not null,
  state jobledger.job_state not null,
  tenant text collate "C" not null,
  queue text collate "C" not null,
  kind text collate "C" not null,
  primary key (shard, tenant, queue, kind, state)
) with (fillfactor = 70);
