-- Take a partition ($1, a name that this package made) out of its table ($2), while others read and write it: two transactions of its own, so outside of any block.
alter table jobledger.$2 detach partition jobledger.$1 concurrently
