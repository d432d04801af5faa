-- A projection file that the code no longer has: $1 path.
delete from jobledger.projection_files where path = $1::text
