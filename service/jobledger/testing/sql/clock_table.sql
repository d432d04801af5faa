-- One row: a moment at which the clock stands, or else by how much it is ahead of the server's. Only databases made for tests have this table.
create table if not exists jobledger.test_clock (
  one boolean primary key default true check (one),
  stands_at timestamptz,
  ahead interval not null default '0'
)
