"""The wire formats: strict JSON documents and CloudEvents, read and written."""
