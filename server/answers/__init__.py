"""Domain records as models and sentences for clients."""
