"""toybox: the procedural 3-D world that the embedded models are trained on and measured in."""
