"""Companion package of the course on vision foundation models.

Importing this package is light on purpose: torch and transformers load only when something needs them.
"""

__version__ = "0.1.0"
