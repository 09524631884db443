"""How the model reads: templates of every text that is written."""
