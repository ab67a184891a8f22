"""A plugin that prints, and imports pandas, when it is loaded, and offers nothing."""

import pandas as pd

print("loaded with pandas", pd.__version__)
