"""Adds the course's data and notebooks to a real wheel; an editable install reads them from the clone instead."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = {"data": "vfm_course/_data", "notebooks": "vfm_course/_notebooks"}
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}


class CarryData(BuildHookInterface):
    """Maps each file below `data/` and `notebooks/` to its place inside the package."""

    def initialize(self, version: str, build_data: dict) -> None:
        """Called by hatchling before it writes a wheel; `version` is "standard" or "editable"."""
        if version != "standard":
            return
        root = Path(self.root)
        for folder, place in CARRIED.items():
            for path in sorted((root / folder).rglob("*")):
                if path.is_file() and not LEFT_OUT & set(path.parts):
                    build_data["force_include"][str(path)] = f"{place}/{path.relative_to(root / folder).as_posix()}"
