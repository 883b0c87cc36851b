"""Extended XYZ files, read and written without other packages."""

from .reading import read_xyz, read_xyz_frames
from .writing import write_xyz

__all__ = ["read_xyz", "read_xyz_frames", "write_xyz"]
