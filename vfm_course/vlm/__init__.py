"""Generative vision-language models: encoder, connector and language model, their metrics and benchmark readers."""
