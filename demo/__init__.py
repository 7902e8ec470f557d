"""The main job on real input, told as a story that anyone may run: `make demo`."""
