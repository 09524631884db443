"""The pyinfra back end: operations."""
