"""What a checkpoint can do, measured on scenes that no training has seen: one idea a file."""
