"""Calling and timing the entry point."""
