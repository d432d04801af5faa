-- Of what a subscription has given up the newest 10,000 are kept: who gave it up and why is to be seen, but not for ever. Called where something is given up.
create or replace function jobledger.forget_dropped(p_shard smallint, p_subscription uuid) returns void
language plpgsql
as $$
begin
  delete from jobledger.subscription_set_aside as a where a.ctid = any (array(
    select x.ctid from jobledger.subscription_set_aside as x where x.shard = p_shard and x.subscription = p_subscription and x.state = 'dropped'
    order by x.changed_at desc, x.position desc offset 10000));
end
$$;
