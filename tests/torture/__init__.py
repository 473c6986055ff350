"""Torture: what attacks the product, and what judges it afterwards, proven on their own."""
