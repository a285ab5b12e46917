"""What a client can read: resources, prompts, skills."""
