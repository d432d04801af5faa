"""The pytest plugin: fixtures for projects that use jobledger. Loads nothing until a test asks for one of them."""
