"""Everything of a merged model's folder that is not its weights."""
