"""Where price rows and exchange rates are brought in from."""
