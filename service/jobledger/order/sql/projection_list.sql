-- Every projection and how far it is behind: $1 shard.
select name, shadow, version, state, effects, epoch, block, as_of, events, behind, behind_s, error, failed_at, made_at, updated_at from jobledger.projection_list($1::smallint)
