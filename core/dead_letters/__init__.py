"""What could not be recorded, and what operators make of it."""
