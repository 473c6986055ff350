"""What producers are told of events that aren't recorded."""
