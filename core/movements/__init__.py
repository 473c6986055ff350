"""What an operator or a service does to balances and their lines, each done once under its key."""
