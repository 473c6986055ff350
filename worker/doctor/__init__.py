"""What an installation is asked before its operator sleeps: looks that change nothing, and what to do about what they find."""
