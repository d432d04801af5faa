-- How worker $2 was registered, for the service that speaks for it: it checks whose it is, and claims as it was bound.
select w.queues::text as queues, w.kinds, w.tenants, w.about ->> 'by' as by, w.lease, w.lease_until from jobledger.workers as w where w.shard = $1::smallint and w.id = $2
