-- Which text of each projection file is in force.
select path, checksum, version from jobledger.projection_files order by path
