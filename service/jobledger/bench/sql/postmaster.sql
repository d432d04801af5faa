-- The process of this connection's backend, whose parent is the server's own; null where the server is on another machine.
select case when inet_server_addr() is null or inet_server_addr() = inet_client_addr() then pg_backend_pid() end
