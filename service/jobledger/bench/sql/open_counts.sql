-- How many measured jobs lie where, for a person who wonders why nothing moves. Counts, once, when all is lost anyway.
select (select count(*) from jobledger.ready where tenant >= 'tenant-' and tenant < 'tenant.') as ready,
  (select count(*) from jobledger.waiting where tenant >= 'tenant-' and tenant < 'tenant.') as waiting,
  (select count(*) from jobledger.running where tenant >= 'tenant-' and tenant < 'tenant.') as running
