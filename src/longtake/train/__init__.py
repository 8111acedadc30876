"""Training: one recipe a file, driven by one loop that a kill cannot harm."""
