"""How the groups of lanes of one call are spread over the threads of XLA's own pool, in LLVM assembly.

The calling thread takes part, so that a pool that is busy, or has one thread, only makes a call slower. Blocks of units
are claimed by counting up; the caller waits for those that others have begun. A unit is a whole group; the last unit
also computes the group that overlaps it when the number of lanes is no multiple of the width, so that no lane is ever
written by two threads. XLA may start a task after the call is over: it finds no block, and touches nothing but the
struct `Shared` (see `handler`), which is freed by the last to let go of it.
"""

POOL = """
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
declare ptr @llvm.ptrmask.p0.i64(ptr, i64)

; Whether an API call succeeded; the error, if any, is thrown away.
define internal i1 @succeeded(ptr %api, ptr %error) {
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %end, label %destroy
destroy:
  %arguments = alloca %Error_Destroy_Args
  store %Error_Destroy_Args { i64 24, ptr null, ptr null }, ptr %arguments
  put Error_Destroy_Args.error %arguments %error
  %function = get Api.Error_Destroy %api
  call void %function(ptr %arguments)
  br label %end
end:
  ret i1 %fine
}

define internal i64 @threads(ptr %api, ptr %ctx) {
  %api.size = get Api.struct_size %api
  %known = icmp uge i64 %api.size, 152
  br i1 %known, label %ask, label %one
ask:
  %count = alloca i64
  store i64 1, ptr %count
  %arguments = alloca %ThreadPool_NumThreads_Args
  store %ThreadPool_NumThreads_Args { i64 32, ptr null, ptr null, ptr null }, ptr %arguments
  put ThreadPool_NumThreads_Args.ctx %arguments %ctx
  put ThreadPool_NumThreads_Args.num_threads %arguments %count
  %function = get Api.ThreadPool_NumThreads %api
  %error = call ptr %function(ptr %arguments)
  %fine = call i1 @succeeded(ptr %api, ptr %error)
  br i1 %fine, label %several, label %one
several:
  %number = load i64, ptr %count
  %positive = icmp sgt i64 %number, 1
  %threads = select i1 %positive, i64 %number, i64 1
  ret i64 %threads
one:
  ret i64 1
}

define internal i1 @schedule(ptr %api, ptr %ctx, ptr %shared) {
  %arguments = alloca %ThreadPool_Schedule_Args
  store %ThreadPool_Schedule_Args { i64 40, ptr null, ptr null, ptr @task, ptr null }, ptr %arguments
  put ThreadPool_Schedule_Args.ctx %arguments %ctx
  put ThreadPool_Schedule_Args.data %arguments %shared
  %function = get Api.ThreadPool_Schedule %api
  %error = call ptr %function(ptr %arguments)
  %fine = call i1 @succeeded(ptr %api, ptr %error)
  ret i1 %fine
}

define internal void @release(ptr %shared, i64 %count) {
  %refs.at = at Shared.references %shared
  %before = atomicrmw sub ptr %refs.at, i64 %count acq_rel
  %last = icmp eq i64 %before, %count
  br i1 %last, label %free, label %end
free:
  call void @free(ptr %shared)
  br label %end
end:
  ret void
}

; A workspace within the block at %raw, which is 64 bytes longer.
define internal ptr @aligned(ptr %raw) {
  %up = getelementptr i8, ptr %raw, i64 63
  %masked = call ptr @llvm.ptrmask.p0.i64(ptr %up, i64 -64)
  ret ptr %masked
}

; Claim and compute blocks until none is left.
define internal void @work(ptr %shared, ptr %workspace) {
entry:
  %next.at = at Shared.next %shared
  %done.at = at Shared.done %shared
  %group = get Shared.group %shared
  %lanes = get Shared.lanes %shared
  %units = get Shared.units %shared
  %block = get Shared.block %shared
  %blocks = get Shared.blocks %shared
  %width = get Shared.width %shared
  %buffers = at Shared.buffers %shared
  br label %claim
claim:
  %mine = atomicrmw add ptr %next.at, i64 1 monotonic
  %any = icmp ult i64 %mine, %blocks
  br i1 %any, label %begin, label %end
begin:
  %start = mul i64 %mine, %block
  %full = add i64 %start, %block
  %stop = call i64 @llvm.umin.i64(i64 %full, i64 %units)
  br label %unit
unit:
  %i = phi i64 [ %start, %begin ], [ %following, %unit ]
  %first = mul i64 %i, %width
  call void %group(ptr %buffers, i64 %lanes, i64 %first, ptr %workspace)
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, %stop
  br i1 %more, label %unit, label %edge
edge:
  %behind = mul i64 %stop, %width
  %left = sub i64 %lanes, %behind
  %at.end = icmp eq i64 %stop, %units
  %some = icmp ne i64 %left, 0
  %overlap = and i1 %at.end, %some
  br i1 %overlap, label %tail, label %counted
tail:
  %last = sub i64 %lanes, %width
  call void %group(ptr %buffers, i64 %lanes, i64 %last, ptr %workspace)
  br label %counted
counted:
  %before = atomicrmw add ptr %done.at, i64 1 release
  br label %claim
end:
  ret void
}

; What a thread of the pool does. Without memory it leaves the blocks to the others.
define internal void @task(ptr %shared) {
entry:
  %next.at = at Shared.next %shared
  %claimed = load atomic i64, ptr %next.at monotonic, align 8
  %blocks = get Shared.blocks %shared
  %any = icmp ult i64 %claimed, %blocks
  br i1 %any, label %allocate, label %end
allocate:
  %bytes = get Shared.workspace %shared
  %padded = add i64 %bytes, 64
  %raw = call ptr @malloc(i64 %padded)
  %none = icmp eq ptr %raw, null
  br i1 %none, label %end, label %take
take:
  %workspace = call ptr @aligned(ptr %raw)
  call void @work(ptr %shared, ptr %workspace)
  call void @free(ptr %raw)
  br label %end
end:
  call void @release(ptr %shared, i64 1)
  ret void
}

; Run all groups of a call. Null, or an error of XLA; %shared is let go of.
define internal ptr @run(ptr %frame, ptr %kernel, ptr %shared, i64 %lanes) {
entry:
  %api = get CallFrame.api %frame
  %ctx = get CallFrame.ctx %frame
  %group = get Kernel.group %kernel
  %width = get Kernel.width %kernel
  %bytes = get Kernel.workspace %kernel
  %units = udiv i64 %lanes, %width
  %single = icmp eq i64 %units, 1
  br i1 %single, label %divide, label %count
count:
  %pool = call i64 @threads(ptr %api, ptr %ctx)
  br label %divide
divide:
  ; Sixteen blocks a thread even out lanes that take different times, and cost little.
  %threads = phi i64 [ 1, %entry ], [ %pool, %count ]
  %parts = shl i64 %threads, 4
  %share = udiv i64 %units, %parts
  %block = call i64 @llvm.umax.i64(i64 %share, i64 1)
  %less = sub i64 %block, 1
  %rounded = add i64 %units, %less
  %blocks = udiv i64 %rounded, %block
  %useful = call i64 @llvm.umin.i64(i64 %threads, i64 %blocks)
  put Shared.group %shared %group
  put Shared.lanes %shared %lanes
  put Shared.units %shared %units
  put Shared.block %shared %block
  put Shared.blocks %shared %blocks
  put Shared.width %shared %width
  put Shared.workspace %shared %bytes
  put Shared.next %shared 0
  %done.at = at Shared.done %shared
  put Shared.done %shared 0
  put Shared.references %shared %useful
  %padded = add i64 %bytes, 64
  %raw = call ptr @malloc(i64 %padded)
  %none = icmp eq ptr %raw, null
  br i1 %none, label %full, label %more
full:
  call void @release(ptr %shared, i64 %useful)
  %message = get Kernel.full %kernel
  %error = call ptr @fail(ptr %api, ptr %message, i32 8)
  ret ptr %error
more:
  %missing = phi i64 [ %useful, %divide ], [ %fewer, %start ]
  %fewer = sub i64 %missing, 1
  %again = icmp ne i64 %fewer, 0
  br i1 %again, label %start, label %compute
start:
  %scheduled = call i1 @schedule(ptr %api, ptr %ctx, ptr %shared)
  br i1 %scheduled, label %more, label %alone
alone:
  call void @release(ptr %shared, i64 %fewer)
  br label %compute
compute:
  %workspace = call ptr @aligned(ptr %raw)
  call void @work(ptr %shared, ptr %workspace)
  br label %look
wait:
  call void @relax()
  br label %look
look:
  %done = load atomic i64, ptr %done.at acquire, align 8
  %over = icmp eq i64 %done, %blocks
  br i1 %over, label %end, label %wait
end:
  call void @free(ptr %raw)
  call void @release(ptr %shared, i64 1)
  ret ptr null
}
"""
