"""Listing, finding, tagging, comparing and removing run folders."""
