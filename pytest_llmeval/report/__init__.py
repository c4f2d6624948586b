"""What people and CI read of a run: the page, the terminal, Markdown, JUnit. All of it is made of the run's folder."""
