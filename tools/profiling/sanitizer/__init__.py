"""compute-sanitizer: session and findings."""
