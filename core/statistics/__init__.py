"""Usage added up: rolled up, rebuilt, closed, read."""
