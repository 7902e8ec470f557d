"""Root file systems of workspaces: built from Debian packages or pulled from a registry.

The one rule: root reads no byte that came from outside. Downloading, unpacking and package scripts
run in a `jail`, under ids that own nothing else on the host.
"""

from alcove.host.images.library import ImageLibrary

__all__ = ["ImageLibrary"]
