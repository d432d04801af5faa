-- Join a subscription as a consumer, or renew: the lease runs by the database's clock. Takes free slices up to a fair share (slices by consumers, the odd ones to the eldest) and
-- returns all that this consumer has: who has more than its share gets the surplus with `surrender`, and gives it back with its last checkpoint. `aside` are the
-- streams set aside in the slice, where the subscription is strict; `again` says that events are to be tried again. Disabled: nothing.
-- Race: two takes go one after the other by the subscription's row. A slice that somebody moves at this moment is passed over, so that nobody's open transaction holds up a lease.
drop function if exists jobledger.subscription_take;

create function jobledger.subscription_take(p_shard smallint, p_id uuid, p_consumer uuid, p_about text default null)
returns table (slice smallint, taken int, epoch int, block bigint, "position" bigint, deaths int, surrender boolean, aside uuid[], again boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := jobledger.now();
  s jobledger.subscriptions;
  v_joined timestamptz;
  v_share int;
  v_mine int;
begin
  perform jobledger.check_words(p_shard, p_about, null);
  if p_consumer is null then
    perform jobledger.refuse('JL101', 'A consumer has an id.', 'Mend the call.');
  end if;
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  select * into s from jobledger.subscriptions as x where x.shard = p_shard and x.id = p_id for update;
  if s.id is null then
    perform jobledger.refuse('JL300', 'There is no such subscription.', 'Create it, or look at the list.');
  end if;
  if s.disabled then
    return;
  end if;
  delete from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = p_id and c.lease_until <= v_now and c.consumer <> p_consumer;
  insert into jobledger.subscription_consumers as c (subscription, consumer, joined_at, lease_until, shard, about)
  values (p_id, p_consumer, v_now, v_now + make_interval(secs => s.lease_s), p_shard, p_about)
  on conflict (shard, subscription, consumer) do update set lease_until = excluded.lease_until returning c.joined_at into v_joined;
  select s.slices / count(*) + (count(*) filter (where (c.joined_at, c.consumer) < (v_joined, p_consumer)) < s.slices % count(*))::int into v_share
  from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = p_id;
  select count(*) into v_mine from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = p_id and t.consumer = p_consumer;
  if v_mine < v_share then
    update jobledger.subscription_slices as t set consumer = p_consumer, taken = t.taken + 1, deaths = t.deaths + (t.consumer is not null)::int
    where t.shard = p_shard and t.subscription = p_id and t.slice = any (array(
      select f.slice from jobledger.subscription_slices as f where f.shard = p_shard and f.subscription = p_id
        and not exists (select from jobledger.subscription_consumers as c where c.shard = p_shard and c.subscription = p_id and c.consumer = f.consumer)
      order by f.slice limit v_share - v_mine for update skip locked));
  end if;
  return query
  select t.slice, t.taken, t.epoch, t.block, t.position, t.deaths, row_number() over (order by t.slice) > v_share,
    case when s.keep_order then array(select distinct a.stream_id from jobledger.subscription_set_aside as a
      where a.shard = p_shard and a.subscription = p_id and a.slice = t.slice and a.state <> 'dropped') end,
    exists (select from jobledger.subscription_set_aside as a where a.shard = p_shard and a.subscription = p_id and a.state = 'retry')
  from jobledger.subscription_slices as t where t.shard = p_shard and t.subscription = p_id and t.consumer = p_consumer order by t.slice;
end
$$;
