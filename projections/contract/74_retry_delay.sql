-- How many seconds after attempt p_attempt (1 = the first) the next one is due by a back-off in its JSON form, jitter drawn; null: never. The same rule as
-- `jobledger.lifecycle.backoff`, for what ends an attempt without its worker. What is not well formed (a caller may store any JSON) is as if nothing were stated.
create or replace function jobledger.retry_delay(p_backoff jsonb, p_attempt int) returns float8
language plpgsql volatile
as $$
declare
  v_n int := greatest(p_attempt, 1);
  v_type text := p_backoff ->> 'type';
  v_base float8;
  v_factor float8;
  v_cap float8;
  v_delay float8;
begin
  if v_type = 'exponential' then
    v_base := coalesce((p_backoff ->> 'base')::float8, 1);
    v_factor := greatest(coalesce((p_backoff ->> 'factor')::float8, 2), 1);
    v_cap := coalesce((p_backoff ->> 'cap')::float8, 3600);
    v_delay := case when v_base <= 0 or v_cap <= 0 then 0 when (v_n - 1) * ln(v_factor) >= least(ln(v_cap) - ln(v_base), 709.78) then v_cap else v_base * v_factor ^ (v_n - 1) end;
  elsif v_type = 'linear' then
    v_delay := least(coalesce((p_backoff ->> 'cap')::float8, 3600), coalesce((p_backoff ->> 'step')::float8, 10) * v_n);
  elsif v_type = 'fixed' then
    v_delay := (p_backoff ->> 'delay')::float8;
  elsif v_type = 'table' and jsonb_typeof(p_backoff -> 'delays') = 'array' then
    if v_n > jsonb_array_length(p_backoff -> 'delays') and p_backoff -> 'ends' = 'true' then
      return null;
    end if;
    v_delay := (p_backoff -> 'delays' ->> (least(v_n, jsonb_array_length(p_backoff -> 'delays')) - 1))::float8;
  end if;
  v_delay := v_delay * (1 - coalesce((p_backoff ->> 'jitter')::float8, case when v_type in ('exponential', 'linear') then 0.1 else 0 end) * random());
  if v_delay between 0 and 31622400 then
    return v_delay;
  end if;
  return least(3600, 2 ^ least(v_n, 12));
exception when data_exception then
  return least(3600, 2 ^ least(v_n, 12));
end
$$;
