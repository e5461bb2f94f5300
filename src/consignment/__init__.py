"""Manage consignment sales (代销)."""
