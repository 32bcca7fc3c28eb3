"""Ways of explaining a model, a file each."""
