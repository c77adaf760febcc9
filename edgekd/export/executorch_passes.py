"""What is taken out of a program before it is given to a backend. Needs ExecuTorch."""

from __future__ import annotations

from executorch.exir.dialects._ops import ops
from executorch.exir.pass_base import ExportPass, PassResult
from torch import fx

_EXPAND = ops.edge.aten.expand_copy.default


class RemoveExpansions(ExportPass):  # type: ignore[misc]
    """Takes out expansions to the shape that a tensor has already.

    Every product of matrices is written with two of them. XNNPACK does not run expansions, so each
    would end the part of the program that XNNPACK runs, and copy a tensor.
    """

    def call(self, graph_module: fx.GraphModule) -> PassResult:
        """Change the graph in place."""
        changed = False
        for node in list(graph_module.graph.nodes):
            if node.target != _EXPAND or _shape(node) != _shape(node.args[0]):
                continue
            node.replace_all_uses_with(node.args[0])
            graph_module.graph.erase_node(node)
            changed = True
        graph_module.recompile()
        return PassResult(graph_module, changed)


def _shape(node: fx.Node) -> tuple[str, ...]:
    """Return the sizes as texts: to compare free ones as numbers would fix them."""
    return tuple(str(size) for size in node.meta["val"].shape)
