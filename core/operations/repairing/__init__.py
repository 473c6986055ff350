"""What a repair is made of."""
