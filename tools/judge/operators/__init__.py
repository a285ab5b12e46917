"""What an operator folder brings."""
