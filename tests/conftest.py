"""What several test files share."""

import pytest


@pytest.fixture
def figures(monkeypatch):
    """Figures stay open to be looked into."""
    import matplotlib.pyplot as plt

    plt.close("all")
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")
