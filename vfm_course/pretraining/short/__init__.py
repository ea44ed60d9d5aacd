"""Pretraining that takes a minute or two: one small encoder, any objective, for notebook 03 and its stored studies."""
