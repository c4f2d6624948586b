"""Root of the project: what holds for suites/ and tests/ alike."""

pytest_plugins = ["pytester"]
