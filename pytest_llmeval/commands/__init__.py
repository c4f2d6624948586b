"""Commands that look at this machine and its models: doctor, models, init. `__main__` names them."""
