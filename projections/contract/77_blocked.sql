-- Of the jobs whose kill date, time-out or lease has been over for ten seconds those that a tick passes by, since their row is locked: most likely by a prepared transaction,
-- so that nothing is looked for where there is none. At most ten of each, as a tick tells them. Race: a row that others hold for a moment is told by chance, and says no more than that.
drop function if exists jobledger.blocked;

create function jobledger.blocked(p_shard smallint, p_now timestamptz) returns jsonb
language plpgsql
as $$
declare
  v_late timestamptz := p_now - interval '10 seconds';
  v_due uuid[];
  v_free uuid[];
begin
  if current_setting('max_prepared_transactions')::int = 0 or not exists (select from pg_prepared_xacts as p where p.database = current_database()) then
    return '[]';
  end if;
  v_due := array(select r.id from jobledger.ready as r where r.kill_at <= v_late order by r.kill_at limit 10)
    || array(select w.id from jobledger.waiting as w where w.kill_at <= v_late order by w.kill_at limit 10)
    || array(select r.id from jobledger.running as r where r.kill_at <= v_late order by r.kill_at limit 10)
    || array(select r.id from jobledger.running as r left join jobledger.workers as w on w.shard = r.shard and w.id = r.worker
      where r.timeout_at <= v_late and r.timeout_at + make_interval(secs => coalesce(w.lease, 0)) <= v_late order by r.timeout_at limit 10)
    || array(select r.id from jobledger.workers as w join jobledger.running as r on r.worker = w.id where w.shard = p_shard and w.lease_until <= v_late limit 10);
  v_free := array(select r.id from jobledger.ready as r where r.shard = p_shard and r.id = any (v_due) for update skip locked)
    || array(select w.id from jobledger.waiting as w where w.shard = p_shard and w.id = any (v_due) for update skip locked)
    || array(select r.id from jobledger.running as r where r.shard = p_shard and r.id = any (v_due) for update skip locked);
  return coalesce((select jsonb_agg(distinct jsonb_build_object('topic', 'blocked_by_prepared', 'job', d)) from unnest(v_due) as d where d <> all (v_free)), '[]');
end
$$;
