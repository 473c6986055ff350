"""What a provider's usage object says: one pure file for each dialect, in classes that don't overlap."""
