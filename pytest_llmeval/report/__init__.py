"""What people read of a run: the page, the terminal. Everything here is computed from Records."""
