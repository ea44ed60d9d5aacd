"""How a vision encoder is plugged into a language model: one file a connector, in the papers' own terms."""
