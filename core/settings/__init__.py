"""A mandate's rules: made, read, looked back at. Changing them is a movement."""
