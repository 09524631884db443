"""What must be true on the host: Steps, and the one shell program that makes them so."""
