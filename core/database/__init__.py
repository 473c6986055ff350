"""Connections, failures, packing, rows by name, the locks: what every other folder asks the database with."""
