"""The one door to Postgres: everything that reads or writes the database goes through here."""
