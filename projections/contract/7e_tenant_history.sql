-- What happened to a tenant's jobs between two minutes, from what the projection has counted: how often each event, and how long jobs waited, ran and lived, in all and by queue and kind.
-- Where minutes are no longer kept, whole hours. The quantiles are the middles of buckets (see bucket_of). Bounded by the minutes and what happened in each, never by how many jobs there were.
create or replace function jobledger.tenant_history(p_shard smallint, p_tenant text, p_since timestamptz, p_until timestamptz) returns jsonb
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
begin
  return (
    with happened as materialized (
      select m.queue, m.kind, m.state, m.measure, m.bucket, m.count from jobledger_tenants.minutes as m
      where m.shard = p_shard and m.tenant = p_tenant and m.minute >= p_since and m.minute < p_until
      union all
      select h.queue, h.kind, h.state, h.measure, h.bucket, h.count from jobledger_tenants.hours as h
      where h.shard = p_shard and h.tenant = p_tenant and h.minute >= date_bin('1 hour', p_since, 'epoch') and h.minute < p_until
    ), bucketed as (
      select h.queue, h.kind, h.measure, h.bucket, sum(h.count) as count from happened as h where h.measure in ('wait', 'run', 'age')
      group by grouping sets ((h.queue, h.kind, h.measure, h.bucket), (h.measure, h.bucket))
    ), summed as (
      select b.*, sum(b.count) over (partition by b.queue, b.kind, b.measure order by b.bucket) as upto, sum(b.count) over (partition by b.queue, b.kind, b.measure) as whole from bucketed as b
    ), timed as (
      select s.queue, s.kind, s.measure, max(s.whole) as count, min(s.bucket) filter (where s.upto >= 0.5 * s.whole) as p50, min(s.bucket) filter (where s.upto >= 0.95 * s.whole) as p95,
        min(s.bucket) filter (where s.upto >= 0.99 * s.whole) as p99
      from summed as s group by s.queue, s.kind, s.measure
    )
    select jsonb_build_object('times', coalesce((
        select jsonb_agg(jsonb_build_object('queue', t.queue, 'kind', t.kind, 'measure', t.measure, 'count', t.count, 'p50', jobledger.bucket_middle(t.p50), 'p95', jobledger.bucket_middle(t.p95),
          'p99', jobledger.bucket_middle(t.p99)) order by t.queue nulls first, t.kind, t.measure) from timed as t), '[]'),
      'events', coalesce((
        select jsonb_agg(jsonb_build_object('queue', e.queue, 'kind', e.kind, 'event', e.measure, 'state', e.state, 'count', e.count) order by e.queue, e.kind, e.measure, e.state)
        from (select h.queue, h.kind, h.measure, h.state, sum(h.count) as count from happened as h where h.measure not in ('wait', 'run', 'age') group by h.queue, h.kind, h.measure, h.state) as e), '[]'))
  );
end
$$;
