-- One call that keeps the clockwork going: promotes what is due, rescues, times out, kills, holds and releases what pauses say, drops expired idempotency keys, and
-- the rows of workers whose lease ended a week ago (their streams stay), sees to partitions ahead, repairs what late transactions left. Whoever runs it (worker, up, `jobledger tick`): one at a time, the others pass by. `p_after` is the last answer's `next`.
-- `snapshot_due`: the caller is to call `queue_snapshot` in a transaction of its own; one bound to tenants, who may not know, does it now and then.
-- `unsealed` says whether there is something to seal, or will be by what this call appends, so that sealers need not look so often themselves.
-- `told` names each lease that expired, each job that was timed out or killed, or should be and is locked by a prepared transaction, for who observes.
-- A caller bound to tenants is not told how much it did, nor where it ended (an id): its sweep for kill dates begins at a random moment instead of at `p_after`.
drop function if exists jobledger.tick;

create function jobledger.tick(p_shard smallint default 0, p_after uuid default null) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_seqscan = off set lock_timeout = '200ms' set jit = off
as $$
declare
  v_now timestamptz := jobledger.now();
  v_every boolean := jobledger.every_tenant();
  v_promoted int;
  v_rescued record;
  v_timed_out record;
  v_killed record;
  v_held int := 0;
  v_unheld int := 0;
  v_forgotten int;
  v_repaired int := 0;
begin
  perform jobledger.must_be_open(p_shard);
  if not pg_try_advisory_xact_lock(hashtext('jobledger.tick'), p_shard::int) then
    return jsonb_build_object('busy', true, 'next', p_after);
  end if;
  if exists (select from jobledger.late as l where l.shard = p_shard) then
    v_repaired := jobledger.repair_late(p_shard);
  end if;
  v_promoted := jobledger.promote(p_shard, v_now, 2000);
  select * into v_rescued from jobledger.rescue(p_shard, v_now, 1000);
  select * into v_timed_out from jobledger.time_out(p_shard, v_now, 200);
  select * into v_killed from jobledger.kill_due(p_shard, v_now, 500,
    case when v_every then p_after else jobledger.first_id_at(v_now - interval '7 days' - random() * interval '30 days') end);
  if exists (select from jobledger.limits as l where l.shard = p_shard) then
    v_held := jobledger.hold(p_shard, v_now, 400);
  end if;
  -- Its threshold is a minute, so one call in eight will do.
  if random() < 0.125 then
    v_held := v_held + jobledger.hold_untakeable(p_shard, v_now, 1000);
  end if;
  v_unheld := jobledger.unhold(p_shard, v_now, 400);
  if v_promoted + v_unheld + v_rescued.taken > 0 then
    perform jobledger.hint(p_shard, null, null, null);
  end if;
  delete from jobledger.workers as w where w.ctid = any (array(select x.ctid from jobledger.workers as x where x.shard = p_shard and x.lease_until < v_now - interval '7 days'
    and not exists (select from jobledger.running as r where r.worker = x.id) limit 100 for update skip locked));
  delete from jobledger.idempotency as i where i.ctid = any (array(select x.ctid from jobledger.idempotency as x where x.expires <= v_now order by x.expires limit 1000 for update skip locked));
  get diagnostics v_forgotten = row_count;
  if not v_every then
    perform jobledger.partitions_ensure(p_shard);
    return '{"promoted": 0, "rescued": 0, "timed_out": 0, "killed": 0, "held": 0, "released_holds": 0, "keys_expired": 0, "repaired": 0, "partitions": 0, "next": null}'::jsonb
      || jsonb_build_object('snapshot_due', random() < 0.02);
  end if;
  return jsonb_build_object('promoted', v_promoted, 'rescued', v_rescued.taken, 'timed_out', v_timed_out.ended, 'killed', v_killed.killed, 'held', v_held, 'released_holds', v_unheld,
    'keys_expired', v_forgotten, 'snapshot_due', jobledger.snapshot_due(p_shard), 'repaired', v_repaired,
    'unsealed', jobledger.unsealed(p_shard), 'partitions', jobledger.partitions_ensure(p_shard), 'next', v_killed.next, 'told', v_rescued.told || v_timed_out.told || v_killed.told || jobledger.blocked(p_shard, v_now));
end
$$;
