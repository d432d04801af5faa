-- Drop the schema of a projection, written in as $1. Cascade: views of others over its tables go, too.
drop schema if exists $1 cascade
