"""Lines that balances crossed, and how they are told."""
