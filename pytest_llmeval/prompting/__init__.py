"""Problem and ModelSpec → the Prompt that is sent: style, chat template and truncation."""
