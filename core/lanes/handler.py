"""The function that XLA calls for every kernel, in LLVM assembly: it reads the call frame and runs the groups.

XLA calls a handler with one pointer to a struct of its C interface. `STRUCTS` lists those structs as the header that
comes with jaxlib does (xla/ffi/api/c_api.h), and a test compares the two. `pool` is how groups are spread over threads,
`registry` how the handler finds its kernel; `kernel` is what uses all three. Lines with `get`, `put` and `at` read, write
and find a field of a struct by its name.
"""

from __future__ import annotations

import functools
import re

from .pool import POOL
from .registry import REGISTRY

ENTRY = "worldline_lanes_entry"

# XLA_FFI_API_MAJOR and XLA_FFI_API_MINOR of the header these structs were taken from. XLA goes on to support a version
# for a year at least, and refuses a handler that reports one it does not support any more.
VERSION = (0, 3)

STRUCTS = {
    "Extension_Base": "i64 struct_size, i32 type, ptr next",
    "Api_Version": "i64 struct_size, ptr extension_start, i32 major_version, i32 minor_version",
    "Metadata": "i64 struct_size, %Api_Version api_version, i32 traits, i64 state_type_id",
    "Metadata_Extension": "%Extension_Base extension_base, ptr metadata",
    "Args": "i64 struct_size, ptr extension_start, i64 size, ptr types, ptr args",
    "Rets": "i64 struct_size, ptr extension_start, i64 size, ptr types, ptr rets",
    "Attrs": "i64 struct_size, ptr extension_start, i64 size, ptr types, ptr names, ptr attrs",
    "CallFrame": "i64 struct_size, ptr extension_start, ptr api, ptr ctx, i32 stage, %Args args, %Rets rets, %Attrs attrs, "
    "ptr future",
    "Buffer": "i64 struct_size, ptr extension_start, i32 dtype, ptr data, i64 rank, ptr dims",
    "Error_Create_Args": "i64 struct_size, ptr extension_start, ptr message, i32 errc",
    "Error_Destroy_Args": "i64 struct_size, ptr extension_start, ptr error",
    "ByteSpan": "ptr ptr, i64 len",
    "TypeInfo": "i64 struct_size, ptr extension_start, ptr deleter",
    "State_Set_Args": "i64 struct_size, ptr extension_start, ptr ctx, i32 stage, ptr type_id, ptr state",
    "State_Get_Args": "i64 struct_size, ptr extension_start, ptr ctx, i32 stage, ptr type_id, ptr state",
    "Stream_Get_Args": "i64 struct_size, ptr extension_start, ptr ctx, ptr stream",
    "ThreadPool_Schedule_Args": "i64 struct_size, ptr extension_start, ptr ctx, ptr task, ptr data",
    "ThreadPool_NumThreads_Args": "i64 struct_size, ptr extension_start, ptr ctx, ptr num_threads",
    # The functions are named without XLA_FFI_; later ones are not used.
    "Api": "i64 struct_size, ptr extension_start, %Api_Version api_version, ptr internal_api, ptr Error_Create, "
    "ptr Error_GetMessage, ptr Error_Destroy, ptr Handler_Register, ptr Stream_Get, ptr Type_Register, "
    "ptr ExecutionContext_Get, ptr State_Set, ptr State_Get, ptr DeviceMemory_Allocate, ptr DeviceMemory_Free, "
    "ptr ThreadPool_Schedule, ptr ThreadPool_NumThreads",
}

# What a kernel says about itself: the function for one group; numbers of operands, results, lanes in a group, and bytes
# of workspace; for every buffer whether it is laned; what is wrong with too few lanes, and without memory.
KERNEL = "ptr group, i64 operands, i64 results, i64 width, i64 workspace, ptr laned, ptr few, ptr full"

# A kernel for CPUs in the list of `registry`: what it is, its name, how many loaded programs of XLA call it, and the next.
RECORD = "%Kernel kernel, [32 x i8] name, i64 users, ptr next"

# A kernel for GPUs says besides how many blocks of threads it may have at a time; its `group` is the driver's handle.
LAUNCH = KERNEL + ", i64 blocks"

# What the threads of one call share. Counters have cache lines of their own. `buffers` goes on behind the struct.
SHARED = (
    "i64 next, [56 x i8] pad, i64 done, i64 references, [48 x i8] pad, ptr group, i64 lanes, i64 units, i64 block, "
    "i64 blocks, i64 width, i64 workspace, [0 x ptr] buffers"
)

_ALL = {**STRUCTS, "Kernel": KERNEL, "Record": RECORD, "Launch": LAUNCH, "Shared": SHARED}


@functools.cache
def assembly(pause: str | None) -> str:
    """The module of the handler; `pause` is a function of the process that lets another thread run, if it has one."""
    relax = f"call i32 @{pause}()" if pause else "add i32 0, 0"
    text = POOL + REGISTRY + f"\ndefine internal void @relax() {{\n  %ignored = {relax}\n  ret void\n}}\n"
    return complete(text + (f"declare i32 @{pause}()\n" if pause else ""))


def complete(text: str) -> str:
    """The module of a handler that calls `ptr @run(ptr %frame, ptr %kernel, ptr %shared, i64 %lanes)`, which `text`
    defines: it computes all lanes, with the addresses of the buffers in `%shared`, which it has to free."""
    types = [f"%{name} = type {{ {', '.join(kind for kind, _ in fields(name))} }}\n" for name in _ALL]
    return re.sub(r"^  .*\b(get|put|at) \w+\..*$", _expanded, "".join(types) + _HANDLER + text, flags=re.MULTILINE)


def fields(struct: str) -> list[tuple[str, str]]:
    """Type and name of every field of a struct."""
    pairs = (field.rsplit(" ", 1) for field in _ALL[struct].split(", "))
    return [(kind, name) for kind, name in pairs]


def _expanded(match: re.Match[str]) -> str:
    """`%x = get Buffer.rank %b`, `put Buffer.rank %b 3` or `%x = at Buffer.rank %b` as LLVM writes them."""
    line = match[0]
    parts = re.fullmatch(r"  (?:(%\S+) = )?(\w+) (\S+) (%\S+)(?: (\S+))?", line)
    assert parts is not None, line
    register, verb, path, base, value = parts.groups()
    struct, *names = path.split(".")
    indices, kind = [], "%" + struct
    for name in names:
        known = fields(kind[1:])
        index = [n for _, n in known].index(name)
        indices.append(f"i32 {index}")
        kind = known[index][0]
    place = f"getelementptr %{struct}, ptr {base}, i32 0, {', '.join(indices)}"
    if verb == "at":
        return f"  {register} = {place}"
    address = f"{register}.at" if verb == "get" else f"{base}.{'.'.join(names)}.at"
    then = f"  {register} = load {kind}, ptr {address}" if verb == "get" else f"  store {kind} {value}, ptr {address}"
    return f"  {address} = {place}\n{then}"


_HANDLER = f"""
declare ptr @malloc(i64)
declare void @free(ptr)

@other = private constant [72 x i8] c"worldline lanes: the buffers are not those this kernel was compiled for\\00"
@memory = private constant [60 x i8] c"worldline lanes: no memory for the addresses of the buffers\\00"

define internal ptr @fail(ptr %api, ptr %message, i32 %code) {{
  %arguments = alloca %Error_Create_Args
  store %Error_Create_Args {{ i64 28, ptr null, ptr null, i32 0 }}, ptr %arguments
  put Error_Create_Args.message %arguments %message
  put Error_Create_Args.errc %arguments %code
  %create = get Api.Error_Create %api
  %error = call ptr %create(ptr %arguments)
  ret ptr %error
}}

; Put the addresses of all buffers into %buffers. The number of lanes, or -1 where the buffers do not fit together.
define internal i64 @gather(ptr %frame, ptr %kernel, ptr %buffers) {{
entry:
  %operands = get Kernel.operands %kernel
  %results = get Kernel.results %kernel
  %total = add i64 %operands, %results
  %flags = get Kernel.laned %kernel
  %args = get CallFrame.args.args %frame
  %rets = get CallFrame.rets.rets %frame
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %following, %kept ]
  %lanes = phi i64 [ -1, %entry ], [ %lanes.now, %kept ]
  %is.result = icmp uge i64 %i, %operands
  %of.results = sub i64 %i, %operands
  %index = select i1 %is.result, i64 %of.results, i64 %i
  %list = select i1 %is.result, ptr %rets, ptr %args
  %entry.at = getelementptr ptr, ptr %list, i64 %index
  %buffer = load ptr, ptr %entry.at
  %data = get Buffer.data %buffer
  %slot = getelementptr ptr, ptr %buffers, i64 %i
  store ptr %data, ptr %slot
  %flag.at = getelementptr i8, ptr %flags, i64 %i
  %flag = load i8, ptr %flag.at
  %is.laned = icmp ne i8 %flag, 0
  br i1 %is.laned, label %laned, label %kept
laned:
  %rank = get Buffer.rank %buffer
  %scalar = icmp slt i64 %rank, 1
  br i1 %scalar, label %bad, label %dimension
dimension:
  %dims = get Buffer.dims %buffer
  %axis = sub i64 %rank, 1
  %dim.at = getelementptr i64, ptr %dims, i64 %axis
  %dim = load i64, ptr %dim.at
  %first = icmp eq i64 %lanes, -1
  %same = icmp eq i64 %lanes, %dim
  %fits = or i1 %first, %same
  br i1 %fits, label %kept, label %bad
kept:
  %lanes.now = phi i64 [ %lanes, %next ], [ %dim, %dimension ]
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, %total
  br i1 %more, label %next, label %end
end:
  ret i64 %lanes.now
bad:
  ret i64 -1
}}

; Whether XLA only asks what this handler is. %type is the number of the type of its state, 0 where it has none.
define internal i1 @answered(ptr %frame, i64 %type) {{
entry:
  %extension.at = at CallFrame.extension_start %frame
  br label %look
look:
  %from = phi ptr [ %extension.at, %entry ], [ %next.at, %inspect ]
  %extension = load ptr, ptr %from
  %none = icmp eq ptr %extension, null
  br i1 %none, label %end, label %inspect
inspect:
  %kind = get Extension_Base.type %extension
  %next.at = at Extension_Base.next %extension
  %asked = icmp eq i32 %kind, 1
  br i1 %asked, label %metadata, label %look
metadata:
  %answer = get Metadata_Extension.metadata %extension
  %version.at = at Metadata.api_version %answer
  store %Api_Version {{ i64 24, ptr null, i32 {VERSION[0]}, i32 {VERSION[1]} }}, ptr %version.at
  put Metadata.traits %answer 0
  put Metadata.state_type_id %answer %type
  ret i1 true
end:
  ret i1 false
}}

define ptr @{ENTRY}(ptr %frame, ptr %kernel) {{
entry:
  %asked = call i1 @answered(ptr %frame, i64 0)
  br i1 %asked, label %nothing, label %execute
execute:
  %api = get CallFrame.api %frame
  %operands = get Kernel.operands %kernel
  %results = get Kernel.results %kernel
  %args = get CallFrame.args.size %frame
  %rets = get CallFrame.rets.size %frame
  %same.operands = icmp eq i64 %args, %operands
  %same.results = icmp eq i64 %rets, %results
  %same = and i1 %same.operands, %same.results
  br i1 %same, label %allocate, label %mismatch
allocate:
  %total = add i64 %operands, %results
  %addresses = shl i64 %total, 3
  %bytes = add i64 %addresses, 192
  %shared = call ptr @malloc(i64 %bytes)
  %full = icmp eq ptr %shared, null
  br i1 %full, label %out, label %gather
gather:
  %buffers = at Shared.buffers %shared
  %lanes = call i64 @gather(ptr %frame, ptr %kernel, ptr %buffers)
  %width = get Kernel.width %kernel
  %enough = icmp sge i64 %lanes, %width
  br i1 %enough, label %go, label %stop
go:
  %outcome = call ptr @run(ptr %frame, ptr %kernel, ptr %shared, i64 %lanes)
  ret ptr %outcome
stop:
  call void @free(ptr %shared)
  %empty = icmp eq i64 %lanes, 0
  br i1 %empty, label %nothing, label %refuse
nothing:
  ret ptr null
refuse:
  %unfit = icmp slt i64 %lanes, 0
  br i1 %unfit, label %mismatch, label %few
few:
  %few.text = get Kernel.few %kernel
  %few.error = call ptr @fail(ptr %api, ptr %few.text, i32 3)
  ret ptr %few.error
mismatch:
  %other = call ptr @fail(ptr %api, ptr @other, i32 3)
  ret ptr %other
out:
  %out.error = call ptr @fail(ptr %api, ptr @memory, i32 8)
  ret ptr %out.error
}}
"""
