"""What an item is to pytest: its outcome, the `record` its test holds, its times for pytest-benchmark, its patience."""
