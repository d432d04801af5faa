-- Note that keys were used, each so many seconds ago. Several services do so once a minute.
-- Race: a row that another has locked is passed over: it is being revoked, or noted as used a moment ago.
drop function if exists jobledger.key_used;

create function jobledger.key_used(p_shard smallint, p_ids uuid[], p_ago real[]) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := jobledger.now();
  v_rows int;
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'That keys were used is noted by who sees every tenant.', 'Ask the service.');
  end if;
  if p_ids is null or cardinality(p_ids) > 10000 or cardinality(p_ids) is distinct from cardinality(p_ago)
      or exists (select from unnest(p_ago) as a where not coalesce(a between 0 and 86400, false)) then
    perform jobledger.refuse('JL101', 'Ids and seconds are lists of the same length, 10000 at most, the seconds 0 to 86400.', 'Nothing was changed; mend the call.');
  end if;
  with used as (
    select u.id, max(v_now - make_interval(secs => u.ago)) as at from unnest(p_ids, p_ago) as u (id, ago) group by u.id
  ), free as (
    select k.id from jobledger.keys as k where k.shard = p_shard and k.id = any (p_ids) order by k.id for no key update skip locked
  )
  update jobledger.keys as k set last_used = used.at from used join free using (id)
  where k.shard = p_shard and k.id = used.id and (k.last_used is null or k.last_used < used.at);
  get diagnostics v_rows = row_count;
  return v_rows;
end
$$;
