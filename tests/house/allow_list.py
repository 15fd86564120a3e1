"""A contract for import-linter: every room imports what its line in pyproject.toml names, and nothing else of ours.

A room is a folder of a root package, or a module beside those folders.  A name that stands there and is not imported breaks the
contract as well: the list is the plan of the house, as it is.
"""

from __future__ import annotations

from grimp import ImportGraph
from importlinter.application import output
from importlinter.domain import fields
from importlinter.domain.contract import Contract, ContractCheck


class AllowList(Contract):
    """``rooms``: a list of "room: name name ...", where a name is a module or a package of ours."""

    rooms = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """See `Contract.check`."""
        allowed = {room.strip(): names.split() for room, _, names in (entry.partition(":") for entry in self.rooms)}
        roots = {room.split(".")[0] for room in allowed}
        there = {child for root in roots for child in graph.find_children(root)}
        faults = [f"{room}: has no line here" for room in sorted(there - set(allowed))]
        faults += [f"{room}: is not there" for room in sorted(set(allowed) - there)]
        for room, names in sorted(allowed.items()):
            used: set[str] = set()
            for module in sorted({room, *graph.find_descendants(room)} & graph.modules):
                for imported in sorted(graph.find_modules_directly_imported_by(module)):
                    if _within(imported, room):
                        continue
                    fitting = [name for name in names if _within(imported, name)]
                    used.update(fitting)
                    if not fitting:
                        faults.append(f"{module} imports {imported}, which {room} may not")
            faults += [f"{room}: {name} is allowed, and not imported" for name in names if name not in used]
        return ContractCheck(kept=not faults, metadata={"faults": faults})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """See `Contract.render_broken_contract`."""
        for fault in check.metadata["faults"]:
            output.print_error(fault)


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")
