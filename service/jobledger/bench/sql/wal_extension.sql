-- Lets the measurement tell full-page images from the rest of the WAL.
create extension if not exists pg_walinspect
