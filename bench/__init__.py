"""Measurements, each beside the floor in the same run, because these machines are noisy."""
