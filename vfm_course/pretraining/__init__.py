"""Pretraining the pocket models: drawn scenes, augmented views, one trainer, one recipe file a model."""
