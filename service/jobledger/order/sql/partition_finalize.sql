-- End a detaching ($1 the partition, $2 its table) that was interrupted between its two transactions.
alter table jobledger.$2 detach partition jobledger.$1 finalize
