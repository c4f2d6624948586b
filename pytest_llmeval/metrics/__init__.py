"""What a run's Records say of a model: pass@1 with its interval, response time, output speed."""
