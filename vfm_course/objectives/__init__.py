"""What a model is asked to minimise: one file an objective, the loss in full view."""
