"""Delivery: what the change feed tells is passed on to its subscribers, study by study."""
