-- Give the shadow's schema, written in as $2, the name of the one that was just dropped, $1. Readers that wait for a dropped table find the new one by its name.
alter schema $2 rename to $1
