"""Adapters composed: checked before anything is loaded, compared before they are published."""
