"""Small files, one an operator and scheme, run in an old TFLite runtime and in a new one."""
