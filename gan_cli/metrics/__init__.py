"""Metrics: plain functions of features, samples and labels, one family per file."""
