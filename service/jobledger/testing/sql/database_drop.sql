-- Drop a test's database with whoever is still connected. {name} is made by this package.
drop database if exists {name} with (force)
