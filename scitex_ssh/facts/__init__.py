"""The pyinfra back end: facts."""
