"""What is done once per period, whoever is asked and however often."""
