"""The coordinate MLP and its activations."""
