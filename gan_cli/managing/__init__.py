"""Listing, querying, tagging and removing run folders."""
