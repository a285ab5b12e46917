"""A call of a candidate as plain data: what it launches, in what order, on what memory.

A `LaunchPlan` is recorded in the candidate's process and replayed in another, which never loads
host code of the candidate. It is untrusted: everything is bounded here, and what only the bytes of
the modules can show is checked by the judge (`judge.replay.validation`).

Modules and memory contents are blobs beside the plan: one file, one after another, in the order of
`LaunchPlan.blobs`, each named by its SHA-256 digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .frames import Message

RESERVATION_BASE = 0x1000_0000_0000
"""Where candidate and runner both reserve addresses; the driver's own begin at 0x7f…."""
SCRATCH_BYTES = 256 << 30
"""The first part: what the candidate's process allocates."""
ARENA_BASE = RESERVATION_BASE + SCRATCH_BYTES
ARENA_BYTES = 256 << 30
"""The second part: inputs and outputs, mapped by the judge's descriptors."""
COPIES_BASE = ARENA_BASE + ARENA_BYTES // 2
"""Where a runner maps further copies of a call's inputs and outputs."""
RESERVATION_BYTES = SCRATCH_BYTES + ARENA_BYTES

POINTER_BYTES = 8
MOST_NODES = 2_000
MOST_EDGES = 8_000
MOST_MODULES = 200
MOST_REGIONS = 4_000
MOST_GLOBALS = 2_000
MOST_VARIABLE_ADDRESSES = 4_000
MOST_PARAMETER_BYTES = 32_764
MOST_MODULE_BYTES = 512 << 20
MOST_CONTENT_BYTES = 256 << 20
MOST_VARIABLE_BYTES = 16 << 20
"""Of one module: they are brought back before every replay."""
MOST_THREADS = 1_024
MOST_CLUSTER_BLOCKS = 16
MOST_SHARED_BYTES = 256 << 10
MOST_CONSTANT_BYTES = 64 << 10
"""Of one copy from host memory: the driver takes so many along with the command itself."""

Address = Annotated[int, Field(ge=0, lt=1 << 57)]
Size = Annotated[int, Field(gt=0, le=1 << 40)]
Extent = Annotated[int, Field(ge=1, le=(1 << 31) - 1)]
Extent3 = tuple[Extent, Extent, Extent]
Symbol = Annotated[str, Field(min_length=1, max_length=32_768, pattern=r"^[\x21-\x7e]+$")]
Position = Annotated[int, Field(ge=0, lt=1 << 20)]


class Blob(Message):
    """Bytes beside the plan."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the bytes.")
    nbytes: int = Field(gt=0, le=MOST_MODULE_BYTES)


class KernelLaunch(Message):
    """One launch: a function of a module, and what it is launched with."""

    kind: Literal["kernel"] = "kernel"
    module: Position = Field(description="Position in the plan's modules.")
    function: Symbol = Field(description="Mangled name.")
    grid: Extent3
    block: Extent3
    cluster: Extent3 | None = None
    cluster_policy: int = Field(default=0, ge=0, le=2)
    shared_bytes: int = Field(default=0, ge=0, le=MOST_SHARED_BYTES, description="Dynamic.")
    cooperative: bool = False
    priority: int = Field(default=0, ge=-64, le=64)
    max_shared_bytes: int = Field(default=0, ge=0, le=MOST_SHARED_BYTES)
    shared_carveout: int = Field(default=-1, ge=-1, le=100)
    non_portable_cluster: bool = False
    parameters: str = Field(
        default="",
        max_length=2 * MOST_PARAMETER_BYTES,
        pattern=r"^([0-9a-f]{2})*$",
        description="The packed parameter buffer, in hexadecimal digits.",
    )

    @model_validator(mode="after")
    def _fits(self) -> KernelLaunch:
        threads = self.block[0] * self.block[1] * self.block[2]
        if threads > MOST_THREADS:
            raise ValueError(f"A block of {threads} threads; at most {MOST_THREADS} are possible")
        if self.grid[1] > 65_535 or self.grid[2] > 65_535:
            raise ValueError("A grid's second and third extents are at most 65,535")
        if self.cluster is not None:
            blocks = self.cluster[0] * self.cluster[1] * self.cluster[2]
            if blocks > MOST_CLUSTER_BLOCKS:
                raise ValueError(f"A cluster of {blocks} blocks; at most {MOST_CLUSTER_BLOCKS} are")
            if any(g % c for g, c in zip(self.grid, self.cluster, strict=True)):
                raise ValueError("The grid is not a multiple of the cluster")
        return self

    @property
    def parameter_bytes(self) -> bytes:
        """The packed parameter buffer."""
        return bytes.fromhex(self.parameters)


class Memset(Message):
    """Rows of `width` elements, all set to `value`."""

    kind: Literal["memset"] = "memset"
    address: Address
    value: int = Field(ge=0, lt=1 << 32)
    element_bytes: Literal[1, 2, 4]
    width: Size
    height: int = Field(default=1, ge=1, le=1 << 30)
    pitch: int = Field(default=0, ge=0, le=1 << 40)


class DeviceCopy(Message):
    """Rows of `width_bytes`, copied within the device."""

    kind: Literal["copy"] = "copy"
    source: Address
    destination: Address
    width_bytes: Size
    height: int = Field(default=1, ge=1, le=1 << 30)
    source_pitch: int = Field(default=0, ge=0, le=1 << 40)
    destination_pitch: int = Field(default=0, ge=0, le=1 << 40)


class ConstantCopy(Message):
    """Bytes that lay in host memory when the call was recorded, copied to the device.

    The plan carries the bytes and no address. Where they depend on a call's inputs, replays with
    other inputs give wrong outputs, and the latency stays claimed.
    """

    kind: Literal["constant"] = "constant"
    destination: Address
    content: Position = Field(description="Position in the plan's contents.")


PlanNode = Annotated[KernelLaunch | Memset | DeviceCopy | ConstantCopy, Field(discriminator="kind")]


class Edge(Message):
    """A node that waits for another; `programmatic` waits only for its launch trigger (PDL)."""

    before: Position
    after: Position
    programmatic: bool = False


class MemoryRegion(Message):
    """Memory that the candidate's process had allocated when the call was recorded.

    `content` is None where the call itself allocated it: its bytes are then undefined.
    """

    address: Address
    nbytes: Size
    content: Position | None = Field(default=None, description="Position in the plan's contents.")


class GlobalImage(Message):
    """What a module's variable held just before the call, where that differs from the cubin."""

    module: Position
    name: Symbol
    content: Position


Part = Literal["address", "source", "destination", "parameter"]


class VariableAddress(Message):
    """An address in a node that lies in a variable of a module, and so is another in each process.

    The node holds 0 in its place. It is known to whoever loads the module.
    """

    node: Position
    part: Part = Field(description="The node's field, or 'parameter' for a kernel's.")
    at: int = Field(
        default=0,
        ge=0,
        lt=MOST_PARAMETER_BYTES,
        multiple_of=POINTER_BYTES,
        description="Byte of the parameter buffer.",
    )
    module: Position
    name: Symbol
    offset: int = Field(default=0, ge=0, le=1 << 40, description="Bytes into the variable.")

    @property
    def place(self) -> tuple[int, Part, int]:
        """Which address of which node it is."""
        return self.node, self.part, self.at


class LaunchPlan(Message):
    """One call as data. Nodes are in an order that respects the edges."""

    version: Literal[1] = 1
    architecture: str = Field(pattern=r"^sm_[0-9]{2,3}[af]?$")
    modules: list[Blob] = Field(max_length=MOST_MODULES)
    contents: list[Blob] = Field(default_factory=list, max_length=MOST_REGIONS + MOST_GLOBALS)
    nodes: list[PlanNode] = Field(min_length=1, max_length=MOST_NODES)
    edges: list[Edge] = Field(default_factory=list, max_length=MOST_EDGES)
    regions: list[MemoryRegion] = Field(default_factory=list, max_length=MOST_REGIONS)
    globals: list[GlobalImage] = Field(default_factory=list, max_length=MOST_GLOBALS)
    variables: list[VariableAddress] = Field(
        default_factory=list, max_length=MOST_VARIABLE_ADDRESSES
    )

    @model_validator(mode="after")
    def _holds_together(self) -> LaunchPlan:
        _check_sizes(self)
        _check_edges(self)
        _check_regions(self)
        _check_references(self)
        _check_variables(self)
        return self

    @property
    def blobs(self) -> list[Blob]:
        """Everything in the file beside the plan, in its order."""
        return [*self.modules, *self.contents]

    @property
    def kernels(self) -> list[KernelLaunch]:
        """The launches, in order."""
        return [node for node in self.nodes if isinstance(node, KernelLaunch)]


def blob_of(content: bytes) -> Blob:
    """The description of some bytes."""
    return Blob(digest=hashlib.sha256(content).hexdigest(), nbytes=len(content))


def split_blobs(blobs: Sequence[Blob], file: bytes | memoryview) -> list[bytes]:
    """Cuts a plan's file into its blobs.

    Raises:
        ValueError: when the file has another length, or a blob another digest than the plan says.
    """
    if len(file) != sum(blob.nbytes for blob in blobs):
        raise ValueError(f"The file beside the plan has {len(file)} bytes, not those of its blobs")
    parts: list[bytes] = []
    at = 0
    for number, blob in enumerate(blobs):
        part = bytes(file[at : at + blob.nbytes])
        if hashlib.sha256(part).hexdigest() != blob.digest:
            raise ValueError(f"Blob {number} of the plan is not what its digest says")
        parts.append(part)
        at += blob.nbytes
    return parts


def _check_sizes(plan: LaunchPlan) -> None:
    for what, blobs, most in (
        ("modules", plan.modules, MOST_MODULE_BYTES),
        ("contents of memory", plan.contents, MOST_CONTENT_BYTES),
    ):
        if (total := sum(blob.nbytes for blob in blobs)) > most:
            raise ValueError(f"The {what} have {total} bytes; at most {most} are carried")


def _check_edges(plan: LaunchPlan) -> None:
    seen: set[tuple[int, int]] = set()
    for edge in plan.edges:
        if not edge.before < edge.after < len(plan.nodes):
            raise ValueError(f"Edge {edge.before} → {edge.after} does not lead to a later node")
        if (edge.before, edge.after) in seen:
            raise ValueError(f"Edge {edge.before} → {edge.after} is there twice")
        seen.add((edge.before, edge.after))
        ends = (plan.nodes[edge.before], plan.nodes[edge.after])
        if edge.programmatic and not all(isinstance(end, KernelLaunch) for end in ends):
            raise ValueError("A programmatic edge leads from a kernel to a kernel")


def _check_regions(plan: LaunchPlan) -> None:
    end = RESERVATION_BASE
    for region in sorted(plan.regions, key=lambda region: region.address):
        if region.address < end:
            raise ValueError(f"The region at {region.address:#x} lies outside, or on another")
        end = region.address + region.nbytes
        if end > ARENA_BASE:
            raise ValueError(f"The region at {region.address:#x} lies outside the reservation")


def _check_references(plan: LaunchPlan) -> None:
    for kernel in plan.kernels:
        if kernel.module >= len(plan.modules):
            raise ValueError(f"{kernel.function[:80]} names module {kernel.module}, which is none")
    for region in plan.regions:
        _check_content(plan, region.content)
        if region.content is not None and plan.contents[region.content].nbytes != region.nbytes:
            raise ValueError(f"The region at {region.address:#x} has a content of another size")
    for image in plan.globals:
        _check_content(plan, image.content)
        if image.module >= len(plan.modules):
            raise ValueError(f"Global {image.name[:80]} names a module that is none")
    for node in plan.nodes:
        if isinstance(node, ConstantCopy):
            _check_content(plan, node.content)
            if (nbytes := plan.contents[node.content].nbytes) > MOST_CONSTANT_BYTES:
                raise ValueError(
                    f"A copy of {nbytes} bytes from host memory; at most {MOST_CONSTANT_BYTES} are "
                    "carried"
                )


def _check_variables(plan: LaunchPlan) -> None:
    seen: set[tuple[int, Part, int]] = set()
    for variable in plan.variables:
        words = f"An address in {variable.name[:80]}"
        if variable.node >= len(plan.nodes) or variable.module >= len(plan.modules):
            raise ValueError(f"{words} names a node or a module that is none")
        if variable.place in seen:
            raise ValueError(f"{words} is that of another variable, too")
        seen.add(variable.place)
        if held_address(plan.nodes[variable.node], variable) != 0:
            raise ValueError(f"{words} has no place in node {variable.node} that holds 0")


def held_address(node: PlanNode, variable: VariableAddress) -> int | None:
    """What a node holds in the place of a variable's address; None where it has no such place."""
    if isinstance(node, KernelLaunch):
        word = node.parameter_bytes[variable.at : variable.at + POINTER_BYTES]
        whole = variable.part == "parameter" and len(word) == POINTER_BYTES
        return int.from_bytes(word, "little") if whole else None
    return None if variable.at else getattr(node, variable.part, None)


def with_address(node: PlanNode, variable: VariableAddress, address: int) -> PlanNode:
    """The node with an address in the place of a variable's."""
    if isinstance(node, KernelLaunch):
        changed = bytearray(node.parameter_bytes)
        changed[variable.at : variable.at + POINTER_BYTES] = address.to_bytes(
            POINTER_BYTES, "little"
        )
        return node.model_copy(update={"parameters": changed.hex()})
    return node.model_copy(update={variable.part: address})


def _check_content(plan: LaunchPlan, content: int | None) -> None:
    if content is not None and content >= len(plan.contents):
        raise ValueError(f"Content {content} is named, of {len(plan.contents)}")
