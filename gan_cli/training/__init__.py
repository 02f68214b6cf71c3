"""Training: the trainer that plays phases, the loop around it, and all that a run needs."""
