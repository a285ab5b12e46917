"""Rules, events and verification of a promotion."""
