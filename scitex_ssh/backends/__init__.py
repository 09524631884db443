"""Who carries the program to where it runs."""
