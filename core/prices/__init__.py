"""The price book: what a leaf costs at a moment, in which currency, and what a mandate pays for it."""
