"""The program's version, the one declaration of it: the image runs the program without installing it."""

__version__ = "0.1.0"
