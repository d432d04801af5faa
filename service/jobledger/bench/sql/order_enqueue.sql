-- One job of the measurement of the order: $1 tenant.
select jobledger.enqueue('bench', tenant => $1)
