"""The algebra: pairs, how they are lifted to trees, chained and remembered."""
