"""Figures and widgets: what the notebooks show, so that their cells stay short."""
