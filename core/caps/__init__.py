"""How much may be used in a window of time, and who is told when."""
