-- For readers: how often each thing happened, per tenant, queue, kind and minute (hour, where minutes are no longer kept). Row security of the tables applies to who asks.
create view outcomes with (security_invoker = true) as
select m.tenant, m.queue, m.kind, m.minute as "at", interval '1 minute' as span, m.measure as event, m.state::text as state, m.count from minutes as m where m.measure not in ('wait', 'run', 'age')
union all
select h.tenant, h.queue, h.kind, h.minute, interval '1 hour', h.measure, h.state::text, h.count from hours as h where h.measure not in ('wait', 'run', 'age');
