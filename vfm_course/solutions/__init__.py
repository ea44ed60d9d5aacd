"""Reference answers, one module per notebook: what `solution()` shows and what unfinished notebooks run on."""
