"""Sokutatsu 速達: the mail sending engine. ARCHITECTURE.md shows the house."""

__version__ = "0.1.0"
