"""Images in, embeddings out: reading, preprocessing, streaming, caching, search."""
