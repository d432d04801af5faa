-- Seal what was committed since the last block: at most one row a call; `more` says that the rest of a large difference waits, `busy` that another sealer is at it.
-- The caller commits and calls again. Anyone may; a caller bound to tenants is not told what there was, since it is everybody's.
-- Race: two sealers meet at an advisory lock, taken with *try*, and the second looks at the last block only after the first has committed: each statement has a snapshot of
-- its own, so the level must be READ COMMITTED, and the transaction may have no id yet, or it would see itself in progress.
-- What a snapshot sees may not be on disk yet where its writer did not wait: this commit waits, for all that came before it.
drop function if exists jobledger.seal;

create function jobledger.seal(p_shard smallint default 0) returns table (block bigint, events int, more boolean, busy boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  n jobledger.blocks;
  v_last jobledger.blocks;
  v_epoch jobledger.epochs;
  v_cuts bigint[];
begin
  perform jobledger.check_words(p_shard, null, null);
  if pg_current_xact_id_if_assigned() is not null or current_setting('transaction_isolation') <> 'read committed' then
    perform jobledger.refuse('JL101', 'Sealing needs a READ COMMITTED transaction of its own, before anything was written in it.', 'Call it alone.');
  end if;
  if not pg_try_advisory_xact_lock(hashtext('jobledger.seal'), p_shard::int) then
    return query select null::bigint, 0, false, jobledger.every_tenant();
    return;
  end if;
  perform jobledger.must_be_open(p_shard);
  select * into v_last from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  n := v_last;
  if v_last.part < v_last.parts then
    n.cuts := null;
    n.part := v_last.part + 1;
    select b.cuts into v_cuts from jobledger.blocks as b where b.shard = p_shard and b.block = v_last.block - v_last.part + 1;
  else
    select * into v_epoch from jobledger.epochs as e where e.shard = p_shard order by e.epoch desc limit 1;
    n.since := case when v_last.epoch = v_epoch.epoch and v_last.first_position > v_epoch.position_floor then v_last.snapshot else v_epoch.since end;
    n.snapshot := pg_current_snapshot();
    n.late := array(select x from pg_snapshot_xip(n.since) as x where pg_visible_in_snapshot(x, n.snapshot));
    v_cuts := jobledger.difference(p_shard, n.since, n.snapshot, n.late, v_epoch.position_floor);
    if v_cuts is null then
      return query select null::bigint, 0, false, false;
      return;
    end if;
    n.part := 1;
    n.parts := cardinality(v_cuts) / 5;
    n.cuts := case when n.parts > 1 then v_cuts end;
    n.epoch := v_epoch.epoch;
    n.shard := p_shard;
  end if;
  perform set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') in ('off', 'local');
  n.block := coalesce(v_last.block, 0) + 1;
  n.last_position := v_cuts[n.part][1];
  n.count := v_cuts[n.part][2];
  n.first_position := v_cuts[n.part][3];
  n.first_xid := v_cuts[n.part][4]::text::xid8;
  n.last_xid := v_cuts[n.part][5]::text::xid8;
  n.position_hwm := greatest(v_last.position_hwm, n.last_position);
  n.sealed_at := greatest(jobledger.now(), v_last.sealed_at);
  insert into jobledger.blocks values (n.*);
  if n.block % 1000 = 0 then
    perform jobledger.blocks_ensure(p_shard);
  end if;
  return query select n.block, n.count, n.part < n.parts, false where jobledger.every_tenant();
  if not found then
    return query select null::bigint, 0, false, false;
  end if;
end
$$;
