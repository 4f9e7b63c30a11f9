# Trace points: a record (core/src/trace.rs) in the CPU's ring (trace.rs). Part of entry.S's assembly.
.macro TRACE_POINT point, number
.balign 16
trace_\point:
    push %rax
    mov $\number, %eax
    jmp trace
.endm
TRACE_POINT system_call, {POINT_SYSTEM_CALL}
TRACE_POINT hypercall, {POINT_HYPERCALL}
TRACE_POINT trap, {POINT_TRAP}
TRACE_POINT page_fault, {POINT_PAGE_FAULT}
TRACE_POINT exit, {POINT_EXIT}
TRACE_POINT sysret, {POINT_SYSRET}

.balign 16
trace:
    push %rcx
    push %rdx
    pushfq                              # base = RSP + 40
    mov 40+{C_TRACE}(%rsp), %rcx
    test %rcx, %rcx
    jz 1f
    mov (%rcx), %rdx                    # next
    incq (%rcx)
    and 8(%rcx), %rdx                   # mask
    shl $6, %rdx
    lea 64(%rcx,%rdx), %rcx
    mov %rax, 8(%rcx)
    mov 40+{R_RIP}(%rsp), %rax
    mov %rax, 16(%rcx)
    mov 40+{R_RAX}(%rsp), %rax
    mov %rax, 24(%rcx)
    mov 40+{R_ERROR}(%rsp), %rax        # and the vector behind it
    mov %rax, 32(%rcx)
    mov 40+{R_RSP}(%rsp), %rax
    mov %rax, 40(%rcx)
    mov %cr2, %rax
    mov %rax, 48(%rcx)
    mov 16(%rsp), %rax                  # RCX
    mov %rax, 56(%rcx)
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, (%rcx)
1:  popfq
    pop %rdx
    pop %rcx
    pop %rax
    ret
