"""The gateway: machines enrol themselves, and get a port of the bastion and a line for their key."""
