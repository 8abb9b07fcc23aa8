"""The Studies Service (PS3.18 10): one module per transaction."""
