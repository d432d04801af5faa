-- What a measurement's reader must know about the server.
select
  current_setting('server_version') as version,
  current_setting('fsync') as fsync,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('shared_buffers') as shared_buffers,
  current_setting('max_wal_size') as max_wal_size
