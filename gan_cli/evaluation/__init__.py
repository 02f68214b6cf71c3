"""Evaluation: which figures a model gets, by which protocol, and how they are kept and shown."""
