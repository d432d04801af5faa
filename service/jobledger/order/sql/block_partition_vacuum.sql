-- Give back the space of a partition of blocks ($1, a name that this package made) of which merging has left little.
vacuum (full, analyze) jobledger.$1
