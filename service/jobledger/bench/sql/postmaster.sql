-- Where the server's own process id stands, for reading its CPU time; null for a role that may not know.
select case when pg_has_role(current_user, 'pg_read_all_settings', 'usage') then current_setting('data_directory') end
