"""The chain of training from nothing to a streaming student: stages one after another, a gate after each."""
