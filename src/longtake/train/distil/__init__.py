"""Distillation: from a bidirectional teacher to a causal few-step student, one file a stage."""
