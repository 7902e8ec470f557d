"""The command line. One file per noun, one function per command; it speaks through the SDK.

Modules here are light to import: the SDK and rich are loaded by `session` and `screen` when a
command needs them.
"""
