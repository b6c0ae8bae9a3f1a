"""Where Optax has what lives on a higher floor here: rooms show these names, too."""
