"""An adapter's files as what they add to a base's weights, without peft."""
