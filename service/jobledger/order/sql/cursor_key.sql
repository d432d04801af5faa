-- The key of the cursors that tenants get; null for a role that is bound to tenants.
select jobledger.cursor_key()
