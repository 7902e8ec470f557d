"""What is done on the server's own machine, as root: set up, start, stop, examine."""
