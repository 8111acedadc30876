"""Measuring: what a take shows, how it moves, how fast it comes. Every figure says how it was made."""
