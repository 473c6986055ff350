"""SQL of the price book."""
