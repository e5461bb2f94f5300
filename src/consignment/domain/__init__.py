"""The nouns and rules of consignment sales: frozen values, no I/O, no clock, no float."""
