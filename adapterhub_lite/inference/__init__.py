"""Any version becomes a predictor."""
