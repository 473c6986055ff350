"""A batch of events in, an outcome for each of them out."""
