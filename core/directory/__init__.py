"""Which mandates, users and memberships exist."""
