-- What the log holds of the measured jobs afterwards: events, jobs that succeeded. A count over history, once, at the end.
select
  count(*) as events,
  count(*) filter (where type = 'job.succeeded') as succeeded,
  count(distinct stream_id) as jobs
from jobledger.events
where type::text like 'job.%' and tenant >= 'tenant-' and tenant < 'tenant.'
