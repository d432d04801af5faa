-- Make the schema of a projection, written in as $1, in the transaction that notes it as made.
create schema $1
