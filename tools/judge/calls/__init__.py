"""One judged call and the memory shared for it."""
