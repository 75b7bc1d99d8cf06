"""How the database came to its present shape, one step for each file in versions/."""
