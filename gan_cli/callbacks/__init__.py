"""What watches a run: each callback is told what happened and never touches the training."""
