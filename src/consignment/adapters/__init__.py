"""Technology behind the ports: one folder each, none imports another."""
