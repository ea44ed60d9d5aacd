"""Grades notebooks that nobody has read: whatever they hold, they run shut in, on the teacher's own machine."""
