"""Training StreamingT2V's two memories for a transformer that stays as it is."""
