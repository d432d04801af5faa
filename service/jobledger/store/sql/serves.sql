-- $1: the number of the contract that this package calls.
select jobledger.serves($1)
