-- The end of what is sealed: where a reader begins that wants only what comes. Block 0 while nothing is sealed. Only for who sees every tenant.
drop function if exists jobledger.log_end;

create function jobledger.log_end(p_shard smallint default 0) returns table (epoch int, block bigint, "position" bigint, sealed_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  perform jobledger.check_words(p_shard, null, null);
  if not jobledger.every_tenant() then
    perform jobledger.refuse('JL400', 'The order of the log is everybody''s: only who sees every tenant may read it.', 'Ask the service, which shows a tenant its own.');
  end if;
  return query select b.epoch, b.block, b.last_position, b.sealed_at from jobledger.blocks as b where b.shard = p_shard order by b.block desc limit 1;
  if not found then
    return query select 0, 0::bigint, 0::bigint, null::timestamptz;
  end if;
end
$$;
