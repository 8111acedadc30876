"""longtake: streaming text-to-video."""
