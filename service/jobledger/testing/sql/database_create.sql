-- Make a database for one test, a copy of another. Names cannot be parameters: {name} and {template} are made by this package, never by a caller.
create database {name} template {template}
