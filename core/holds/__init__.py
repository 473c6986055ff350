"""Money kept for a call that is under way, until its usage event takes it."""
