"""Which kernel a call of the handler is for, and whether its code may be freed; in LLVM assembly.

XLA knows one handler for all kernels, and it never forgets a handler. The name of the kernel, derived from its content,
is an attribute of the call. When XLA loads a program it lets the handler look the name up (its stage `instantiate`); the
record that is found becomes the state of that call, and counts one user more until XLA deletes the program. XLA keeps a
program while it runs, so a record without users, once it is out of the list, is called by nobody and can be freed with
its code. `kernel` puts records in and takes them out.
"""

# The function that returns the addresses of PARTS, in this order.
ADDRESSES = "worldline_lanes_parts"
PARTS = ("instantiate", "execute", "type", "type.information", "add", "remove", "entry")

REGISTRY = """
@type = internal global i64 0
@type.information = internal constant %TypeInfo { i64 24, ptr null, ptr @leave }
@first = internal global ptr null
@locked = internal global i32 0
@parts = internal constant [7 x ptr] [
  ptr @instantiate, ptr @execute, ptr @type, ptr @type.information, ptr @add, ptr @remove, ptr @worldline_lanes_entry]
@unknown = private constant [139 x i8] c"worldline lanes: the native code of this program is not in this process, \
which did not lower it: lower and compile the function here again\\00"

define ptr @worldline_lanes_parts() {
  ret ptr @parts
}

; The list is changed and searched by one thread at a time, for the time of a few loads for each kernel.
define internal void @lock() {
  br label %try
try:
  %pair = cmpxchg ptr @locked, i32 0, i32 1 acquire monotonic
  %mine = extractvalue { i32, i1 } %pair, 1
  br i1 %mine, label %end, label %wait
wait:
  call void @relax()
  br label %try
end:
  ret void
}

define internal void @unlock() {
  store atomic i32 0, ptr @locked release, align 4
  ret void
}

define internal void @add(ptr %record) {
  call void @lock()
  %before = load ptr, ptr @first
  put Record.next %record %before
  store ptr %record, ptr @first
  call void @unlock()
  ret void
}

; Take a record out of the list, unless it has users. 1 when it is out.
define internal i32 @remove(ptr %record) {
entry:
  call void @lock()
  %users.at = at Record.users %record
  %users = load atomic i64, ptr %users.at acquire, align 8
  %idle = icmp eq i64 %users, 0
  br i1 %idle, label %look, label %end
look:
  %link = phi ptr [ @first, %entry ], [ %next.at, %other ]
  %here = load ptr, ptr %link
  %found = icmp eq ptr %here, %record
  br i1 %found, label %out, label %step
step:
  %none = icmp eq ptr %here, null
  br i1 %none, label %end, label %other
other:
  %next.at = at Record.next %here
  br label %look
out:
  %following = get Record.next %record
  store ptr %following, ptr %link
  br label %end
end:
  %removed = phi i32 [ 0, %entry ], [ 0, %step ], [ 1, %out ]
  call void @unlock()
  ret i32 %removed
}

; The record with the 32 bytes of a name, with one user more; or null.
define internal ptr @enter(ptr %name.at) {
entry:
  %name = load i256, ptr %name.at, align 1
  call void @lock()
  br label %look
look:
  %link = phi ptr [ @first, %entry ], [ %next.at, %other ]
  %here = load ptr, ptr %link
  %none = icmp eq ptr %here, null
  br i1 %none, label %end, label %compare
compare:
  %own.at = at Record.name %here
  %own = load i256, ptr %own.at, align 1
  %same = icmp eq i256 %own, %name
  br i1 %same, label %found, label %other
other:
  %next.at = at Record.next %here
  br label %look
found:
  %users.at = at Record.users %here
  %before = atomicrmw add ptr %users.at, i64 1 monotonic
  br label %end
end:
  call void @unlock()
  ret ptr %here
}

; XLA calls it with the state of a call when it deletes the program.
define internal void @leave(ptr %record) {
  %users.at = at Record.users %record
  %before = atomicrmw sub ptr %users.at, i64 1 release
  ret void
}

define internal ptr @instantiate(ptr %frame) {
entry:
  %number = load i64, ptr @type
  %asked = call i1 @answered(ptr %frame, i64 %number)
  br i1 %asked, label %fine, label %count
fine:
  ret ptr null
count:
  %api = get CallFrame.api %frame
  %attributes = get CallFrame.attrs.size %frame
  %one = icmp eq i64 %attributes, 1
  br i1 %one, label %kind, label %missing
kind:
  %kinds = get CallFrame.attrs.types %frame
  %of = load i32, ptr %kinds
  %is.string = icmp eq i32 %of, 4
  br i1 %is.string, label %length, label %missing
length:
  %values = get CallFrame.attrs.attrs %frame
  %span = load ptr, ptr %values
  %bytes = get ByteSpan.len %span
  %full = icmp eq i64 %bytes, 32
  br i1 %full, label %search, label %missing
search:
  %name = get ByteSpan.ptr %span
  %record = call ptr @enter(ptr %name)
  %none = icmp eq ptr %record, null
  br i1 %none, label %missing, label %keep
keep:
  %ctx = get CallFrame.ctx %frame
  %state = alloca %State_Set_Args
  store %State_Set_Args { i64 48, ptr null, ptr null, i32 0, ptr @type, ptr null }, ptr %state
  put State_Set_Args.ctx %state %ctx
  put State_Set_Args.state %state %record
  %set = get Api.State_Set %api
  %error = call ptr %set(ptr %state)
  %kept = icmp eq ptr %error, null
  br i1 %kept, label %fine, label %refused
refused:
  call void @leave(ptr %record)
  ret ptr %error
missing:
  %unknown = call ptr @fail(ptr %api, ptr @unknown, i32 5)
  ret ptr %unknown
}

define internal ptr @execute(ptr %frame) {
  %number = load i64, ptr @type
  %asked = call i1 @answered(ptr %frame, i64 %number)
  br i1 %asked, label %fine, label %find
fine:
  ret ptr null
find:
  %api = get CallFrame.api %frame
  %ctx = get CallFrame.ctx %frame
  %state = alloca %State_Get_Args
  store %State_Get_Args { i64 48, ptr null, ptr null, i32 0, ptr @type, ptr null }, ptr %state
  put State_Get_Args.ctx %state %ctx
  %get = get Api.State_Get %api
  %error = call ptr %get(ptr %state)
  %found = icmp eq ptr %error, null
  br i1 %found, label %run, label %lost
lost:
  ret ptr %error
run:
  %record = get State_Get_Args.state %state
  %outcome = call ptr @worldline_lanes_entry(ptr %frame, ptr %record)
  ret ptr %outcome
}
"""
