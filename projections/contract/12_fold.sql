-- The fold of a whole stream: `select (jobledger.fold(e order by e.version)).* from jobledger.events as e where …`.
create aggregate jobledger.fold (jobledger.events) (sfunc = jobledger.evolve, stype = jobledger.folded);
