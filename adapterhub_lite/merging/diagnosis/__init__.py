"""What a person wants to know before merging: ``ahl diff``."""
