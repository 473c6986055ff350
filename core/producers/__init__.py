"""Which of a producer's numbers came: what is missing of what it says that it has sent."""
