-- Does one snapshot see every transaction that another sees? Both of the same epoch.
create or replace function jobledger.sees_all(p_snapshot pg_snapshot, p_other pg_snapshot) returns boolean
language sql immutable parallel safe
as $$
  select pg_snapshot_xmax(p_other) <= pg_snapshot_xmax(p_snapshot)
    and not exists (select from pg_snapshot_xip(p_snapshot) as x where x < pg_snapshot_xmax(p_other) and pg_visible_in_snapshot(x, p_other))
$$;
