-- The schema `jobledger` as lines (kind, name, definition), to be compared between two databases of one server. Partitions are described whole, one line each, with their
-- own name taken out, so that databases of different age compare; owners are called owner, since whoever made the scratch database owns all of it.
with space as (
  select n.oid, n.nspowner, n.nspacl from pg_catalog.pg_namespace as n where n.nspname = 'jobledger'
), class as (
  select c.*, s.nspowner from pg_catalog.pg_class as c join space as s on s.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S', 'c', 'f')
), acl (oid, sub, line) as (
  select c.oid, a.sub, pg_catalog.string_agg(case when x.grantee = c.relowner then 'owner' when x.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end
    || '=' || x.privilege_type || case when x.is_grantable then '*' else '' end, ', '
    order by case when x.grantee = c.relowner then 'owner' when x.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(x.grantee)::text end, x.privilege_type)
  from class as c
  cross join lateral (
    select 0::smallint as sub, coalesce(c.relacl, pg_catalog.acldefault(case c.relkind when 'S' then 'S' else 'r' end::"char", c.relowner)) as items
    union all select t.attnum, t.attacl from pg_catalog.pg_attribute as t where t.attrelid = c.oid and t.attacl is not null
  ) as a
  cross join lateral pg_catalog.aclexplode(a.items) as x
  group by c.oid, a.sub
), part (oid, kind, name, definition) as (
  select c.oid, case c.relkind when 'v' then 'view' when 'm' then 'view' when 'S' then 'sequence' when 'c' then 'type' else 'table' end, c.relname::text,
    pg_catalog.concat_ws(' ', 'relkind', c.relkind::text, 'persistence', case when c.relname not in ('ready', 'waiting', 'running', 'live') then c.relpersistence::text end, case when c.relrowsecurity then 'row security' end,
      case when c.relforcerowsecurity then 'forced' end, c.reloptions::text, pg_catalog.pg_get_partkeydef(c.oid),
      case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid, true) end, pg_catalog.chr(10) || 'grants', (select a.line from acl as a where a.oid = c.oid and a.sub = 0))
  from class as c
  union all
  select c.oid, 'column', c.relname || '.' || t.attname, pg_catalog.concat_ws(' ', 'place', pg_catalog.row_number() over (partition by c.oid order by t.attnum),
      pg_catalog.format_type(t.atttypid, t.atttypmod), case when t.attnotnull then 'not null' end, 'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid),
      nullif(t.attidentity, '')::text, nullif(t.attgenerated, '')::text, (select 'collate ' || o.collname from pg_catalog.pg_collation as o where o.oid = t.attcollation),
      (select 'grants ' || a.line from acl as a where a.oid = c.oid and a.sub = t.attnum))
  from class as c
  join pg_catalog.pg_attribute as t on t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped
  left join pg_catalog.pg_attrdef as d on d.adrelid = c.oid and d.adnum = t.attnum
  where c.relkind <> 'S'
  union all
  select c.oid, 'index', c.relname || ': ' || i.line, null
  from class as c
  cross join lateral (
    select pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(x.indexrelid), '^(create (?:unique )?index) \S+ (on (?:only )?)\S+ ', '\1 \2', 'i')
      || case when x.indisvalid then '' else ' (invalid)' end || case when x.indisprimary then ' (primary)' else '' end
      || case when c.relispartition then '' else ' named ' || x.indexrelid::pg_catalog.regclass::text end as line
    from pg_catalog.pg_index as x where x.indrelid = c.oid
  ) as i
  union all
  select c.oid, 'constraint', c.relname || '.' || case when c.relispartition then '' else k.conname end, pg_catalog.pg_get_constraintdef(k.oid) || case when k.convalidated then '' else ' (not validated)' end
  from class as c join pg_catalog.pg_constraint as k on k.conrelid = c.oid
  where k.contype <> 'n'
  union all
  select c.oid, 'trigger', c.relname || '.' || t.tgname,
    pg_catalog.regexp_replace(pg_catalog.pg_get_triggerdef(t.oid), ' on (only )?\S+ ', ' on ', 'i') || ' (' || t.tgenabled::text || ')'
  from class as c join pg_catalog.pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal
  union all
  select c.oid, 'policy', c.relname || '.' || p.polname, pg_catalog.concat_ws(' ', p.polcmd::text, case when p.polpermissive then 'permissive' else 'restrictive' end,
      (select pg_catalog.string_agg(case r when 0 then 'public' else pg_catalog.pg_get_userbyid(r)::text end, ', ' order by r) from pg_catalog.unnest(p.polroles) as r),
      'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
  from class as c join pg_catalog.pg_policy as p on p.polrelid = c.oid
)
select p.kind, p.name, p.definition from part as p join class as c on c.oid = p.oid where not c.relispartition
union all
select 'partition', c.relname::text, h.inhparent::pg_catalog.regclass::text || pg_catalog.chr(10) || (
  select pg_catalog.string_agg(p.kind || ' ' || pg_catalog.replace(p.name, c.relname::text, '') || ' ' || coalesce(p.definition, ''), pg_catalog.chr(10)
    order by p.kind, pg_catalog.replace(p.name, c.relname::text, ''), p.definition)
  from part as p where p.oid = c.oid)
from class as c join pg_catalog.pg_inherits as h on h.inhrelid = c.oid where c.relispartition
union all
select 'sequence of', q.sequencename::text, pg_catalog.concat_ws(' ', q.data_type::text, 'start', q.start_value, 'by', q.increment_by, 'min', q.min_value, 'max', q.max_value,
  'cache', q.cache_size, case when q.cycle then 'cycle' end)
from pg_catalog.pg_sequences as q where q.schemaname = 'jobledger'
union all
select 'function', f.oid::pg_catalog.regprocedure::text,
  case f.prokind when 'a' then (select pg_catalog.concat_ws(' ', 'aggregate', g.aggtransfn::text, g.aggfinalfn::text, pg_catalog.format_type(g.aggtranstype, null), g.agginitval)
    from pg_catalog.pg_aggregate as g where g.aggfnoid = f.oid) else pg_catalog.pg_get_functiondef(f.oid) end
  || pg_catalog.chr(10) || 'grants ' || coalesce((select pg_catalog.string_agg(x.line, ', ' order by x.line) from (
    select case when a.grantee = f.proowner then 'owner' when a.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)::text end || case when a.is_grantable then '*' else '' end as line
    from pg_catalog.aclexplode(coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))) as a) as x), '')
from pg_catalog.pg_proc as f join space as s on s.oid = f.pronamespace
union all
select 'type', t.typname::text, (select pg_catalog.string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_catalog.pg_enum as e where e.enumtypid = t.oid)
from pg_catalog.pg_type as t join space as s on s.oid = t.typnamespace where t.typtype = 'e'
union all
select 'type', t.typname::text, pg_catalog.concat_ws(' ', 'domain over', pg_catalog.format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, t.typdefault,
  (select pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ', ' order by k.conname) from pg_catalog.pg_constraint as k where k.contypid = t.oid))
from pg_catalog.pg_type as t join space as s on s.oid = t.typnamespace where t.typtype = 'd'
union all
select 'statistics', x.stxname::text, pg_catalog.pg_get_statisticsobjdef(x.oid) from pg_catalog.pg_statistic_ext as x join space as s on s.oid = x.stxnamespace
union all
select 'schema', 'jobledger', 'grants ' || coalesce((select pg_catalog.string_agg(x.line, ', ' order by x.line) from (
  select case when a.grantee = s.nspowner then 'owner' when a.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)::text end || '=' || a.privilege_type as line
  from pg_catalog.aclexplode(coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner))) as a) as x), '')
from space as s
