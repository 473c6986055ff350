"""What people and other programs take away: statements, explanations, exports."""
