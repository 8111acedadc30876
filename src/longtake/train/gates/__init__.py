"""Gates between stages: what a stage is measured by, what is expected of it, and what comes of it when it fails."""
