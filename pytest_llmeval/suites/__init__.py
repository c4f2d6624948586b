"""Suites that come with the plugin."""
