# Every way into the hypervisor and out of it. One entry, one exit (DESIGN.md, section 7).
#
# Placeholders in braces are offsets from the base of `StackTop` (see stack.rs), which every path here keeps in RSP
# while it works for a guest. Interrupts are off in this file, except inside what it calls.

.macro CLAC
661: .byte 0x0f, 0x1f, 0x00             # becomes CLAC at boot where the CPU has SMAP
.pushsection .clac, "a"
.quad 661b
.popsection
.endm

.macro STAC
661: .byte 0x0f, 0x1f, 0x00             # becomes STAC
.pushsection .stac, "a"
.quad 661b
.popsection
.endm

.macro FIXUP at, to
.pushsection .extable, "a"
.quad \at, \to
.popsection
.endm

# A trace point: RSP = base, all registers are kept. Becomes CALL trace_<point> where tracing is on.
.macro TRACE point
661: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
.pushsection .trace_points, "a"
.quad 661b, trace_\point
.popsection
.endm

.macro SAVE_GPRS                        # RSP = base; RAX is already in its slot
    mov %rdi, {R_RDI}(%rsp)
    mov %rsi, {R_RSI}(%rsp)
    mov %rdx, {R_RDX}(%rsp)
    mov %rcx, {R_RCX}(%rsp)
    mov %r8, {R_R8}(%rsp)
    mov %r9, {R_R9}(%rsp)
    mov %r10, {R_R10}(%rsp)
    mov %r11, {R_R11}(%rsp)
    mov %rbx, {R_RBX}(%rsp)
    mov %rbp, {R_RBP}(%rsp)
    mov %r12, {R_R12}(%rsp)
    mov %r13, {R_R13}(%rsp)
    mov %r14, {R_R14}(%rsp)
    mov %r15, {R_R15}(%rsp)
.endm

.macro RESTORE_CALLEE
    mov {R_RBX}(%rsp), %rbx
    mov {R_RBP}(%rsp), %rbp
    mov {R_R12}(%rsp), %r12
    mov {R_R13}(%rsp), %r13
    mov {R_R14}(%rsp), %r14
    mov {R_R15}(%rsp), %r15
.endm

.section .text.entry, "ax"

# ---------------------------------------------------------------------------------------------------------------------
# SYSCALL. The CPU's stub (stack.rs) stored RAX in its slot, RSP in R_RSP's, and left RSP = &regs.rsp, RAX = guest RSP.
.balign 64
.global syscall_entry
syscall_entry:
    lea -{R_RSP}(%rsp), %rsp
    mov %rcx, {R_RIP}(%rsp)
    mov %r11, {R_RFLAGS}(%rsp)
    testl ${IN_KERNEL}, {PV_FLAGS}(%rsp)
    jnz from_guest_kernel

    # From guest user mode: bounce to the guest kernel's system-call callback.
    TRACE system_call
    cmpq $0, {C_PENDING}(%rsp)
    jne syscall_slow
    mov {C_INFO}(%rsp), %rcx
    cmpb $0, 1(%rcx)                    # evtchn_upcall_mask
    jne syscall_slow
    testl ${SYSCALL_MASKS}, {PV_FLAGS}(%rsp)
    jz syscall_slow
    movb $1, 1(%rcx)                    # events are masked from here on
    mov {PV_KERNEL_SP}(%rsp), %rax      # aligned, and its frames are the guest's or fault (pv::kernel_stack)
    mov {PV_KERNEL_ROOT}(%rsp), %rcx
    incq {C_SYSCALL_BOUNCES}(%rsp)
    mov %rcx, %cr3
    swapgs
    orl ${IN_KERNEL}, {PV_FLAGS}(%rsp)
    mov {R_RSP}(%rsp), %rcx
    STAC
1:  movq $0xe02b, -8(%rax)              # SS
2:  mov %rcx, -16(%rax)                 # RSP
3:  mov %r11, -24(%rax)                 # RFLAGS: IF is set, as ring 3 always has it and events were not masked
4:  movq $0xe033, -32(%rax)             # CS, saved event mask 0
    mov {R_RIP}(%rsp), %rcx
5:  mov %rcx, -40(%rax)                 # RIP
6:  mov %r11, -48(%rax)                 # R11
7:  mov %rcx, -56(%rax)                 # RCX
    CLAC
    mov {PV_SYSCALL_CALLBACK}(%rsp), %rcx
    lea -56(%rax), %r11
    mov {R_RAX}(%rsp), %rax
    TRACE sysret
    mov %r11, %rsp
    mov $0x202, %r11d
    sysretq
FIXUP 1b, bounce_fault
FIXUP 2b, bounce_fault
FIXUP 3b, bounce_fault
FIXUP 4b, bounce_fault
FIXUP 5b, bounce_fault
FIXUP 6b, bounce_fault
FIXUP 7b, bounce_fault

bounce_fault:                           # the guest kernel's stack cannot be written
    CLAC
    SAVE_GPRS
    movl ${VECTOR_SYSCALL}, {R_VECTOR}(%rsp)
    xor %ebp, %ebp
    sti
    call guest_bounce_failed
    jmp exit_to_guest

syscall_slow:
    mov {R_RIP}(%rsp), %rcx
    SAVE_GPRS
    movq $0xe033, {R_CS}(%rsp)
    movq $0xe02b, {R_SS}(%rsp)
    movl $0, {R_ERROR}(%rsp)
    movl ${VECTOR_SYSCALL}, {R_VECTOR}(%rsp)
    xor %ebp, %ebp
    mov %rsp, %rdi
    call syscall_from_user
    jmp exit_to_guest

# SYSCALL in 32-bit code (AMD's processors; others raise #UD). It goes out by IRETQ, as SYSRET below is the 64-bit one.
.balign 16
.global syscall32_entry
syscall32_entry:
    lea -{R_RSP}(%rsp), %rsp
    mov %rcx, {R_RIP}(%rsp)
    mov %r11, {R_RFLAGS}(%rsp)
    SAVE_GPRS
    movq $0xe023, {R_CS}(%rsp)
    movq $0xe02b, {R_SS}(%rsp)
    movl $0, {R_ERROR}(%rsp)
    movl $0, {R_VECTOR}(%rsp)
    TRACE system_call
    xor %ebp, %ebp
    mov %rsp, %rdi
    call syscall_from_32bit_code
    jmp exit_to_guest

# SYSENTER (Intel's processors; AMD's raise #UD in long mode). It came with RSP = base and kept neither RIP nor RSP of
# the guest, and of the flags it cleared only IF, VM and RF.
.balign 16
.global sysenter_entry
sysenter_entry:
    mov %rax, {R_RAX}(%rsp)
    SAVE_GPRS
    pushfq
    popq {R_RFLAGS}(%rsp)
    pushq $2
    popfq
    movq $0, {R_RIP}(%rsp)
    movq $0xe023, {R_CS}(%rsp)
    movq $0, {R_RSP}(%rsp)
    movq $0xe02b, {R_SS}(%rsp)
    movl $0, {R_ERROR}(%rsp)
    movl $0, {R_VECTOR}(%rsp)
    TRACE system_call
    xor %ebp, %ebp
    mov %rsp, %rdi
    call sysenter_from_guest
    jmp exit_to_guest

# From the guest's kernel: a hypercall, its number in RAX.
.balign 16
from_guest_kernel:
    TRACE hypercall
    cmpq $23, {R_RAX}(%rsp)             # __HYPERVISOR_iret
    jne hypercall
    cmpq $0, {C_PENDING}(%rsp)
    jne hypercall
    mov %rdx, {R_RDX}(%rsp)

    # struct iret_context at the guest's RSP (RAX): rax r11 rcx flags rip cs rflags rsp ss
    mov %rax, %rcx
    shr $43, %rcx
    cmp $0x1ffff0, %rcx                 # hypervisor space, slots 256 to 271
    je iret_slow
    STAC
1:  cmpq $0x100, 24(%rax)               # flags = VGCF_in_syscall
    jne iret_other
2:  mov 40(%rax), %rdx                  # cs
3:  mov 48(%rax), %r11                  # rflags
4:  mov 32(%rax), %rcx                  # rip
    or $0xe000, %edx
    cmp $0xe033, %dx                    # Linux' 0x33 or the ABI's 0xe033; SYSRETQ would lose a 32-bit selector
    jne iret_slow
    test $0x200, %r11d
    jz iret_slow
    mov %rcx, %rdx
    shr $47, %rdx
    jnz iret_slow
    mov {C_INFO}(%rsp), %rdx
    movb $0, 1(%rdx)
    cmpb $0, (%rdx)
    jne iret_slow
    mov {PV_USER_ROOT}(%rsp), %rdx
    test %rdx, %rdx
    jz iret_slow
    TRACE sysret
5:  pushq 56(%rax)                      # rsp
6:  mov (%rax), %rax
    CLAC
    incq 8+{C_SYSCALL_RETURNS}(%rsp)
    andl $~{IN_KERNEL}, 8+{PV_FLAGS}(%rsp)
    mov %rdx, %cr3
    swapgs
    mov 8+{R_RDX}(%rsp), %rdx
    and $0x240dd5, %r11d
    or $0x202, %r11d
    pop %rsp
    sysretq
FIXUP 1b, iret_slow
FIXUP 2b, iret_slow
FIXUP 3b, iret_slow
FIXUP 4b, iret_slow
FIXUP 5b, iret_slow
FIXUP 6b, iret_slow_popped

iret_slow_popped:
    add $8, %rsp
iret_slow:
    CLAC
    mov {R_RDX}(%rsp), %rdx
    mov {R_RFLAGS}(%rsp), %r11
    jmp hypercall

# A return that is none from SYSCALL: to user or kernel mode, with events unmasked. Nothing is changed before all of
# the context is read and judged; what is out of the ordinary begins anew in Rust.
.balign 16
iret_other:
    mov %rdi, {R_RDI}(%rsp)
    mov %rsi, {R_RSI}(%rsp)
    mov %r8, {R_R8}(%rsp)
1:  cmpq $0, 24(%rax)                   # flags
    jne iret_other_slow
2:  mov 40(%rax), %rdx                  # cs
3:  mov 48(%rax), %r11                  # rflags
4:  mov 56(%rax), %rdi                  # rsp
5:  mov 64(%rax), %rsi                  # ss
    test $0x200, %r11d
    jz iret_other_slow
    mov {C_INFO}(%rsp), %rcx
    movb $0, 1(%rcx)
    cmpb $0, (%rcx)
    jne iret_other_slow
6:  mov 8(%rax), %r8
    mov %r8, {R_R11}(%rsp)
7:  mov 16(%rax), %r8
    mov %r8, {R_RCX}(%rsp)
8:  mov 32(%rax), %rcx                  # rip
    movzwl %dx, %edx
    mov %edx, %r8d
    and $3, %r8d
    cmp $3, %r8d
    jne 10f
    mov {PV_USER_ROOT}(%rsp), %r8
    test %r8, %r8
    jz iret_other_slow
9:  mov (%rax), %rax
    CLAC
    mov %r8, %cr3
    swapgs
    andl $~{IN_KERNEL} & ~{NMI_MASKED}, {PV_FLAGS}(%rsp)
    jmp 11f
10: mov (%rax), %rax
    CLAC
    andl $~{NMI_MASKED}, {PV_FLAGS}(%rsp)
11: mov {C_VM_ASSIST}(%rsp), %r8
    testl ${ARCH_IOPL}, (%r8)
    jz 12f
    mov %r11d, %r8d
    shr $12, %r8d
    and $3, %r8d
    mov %r8d, {PV_IOPL}(%rsp)
12: or $3, %edx
    movzwl %si, %esi
    or $3, %esi
    and $0x240dd5, %r11d
    or $0x202, %r11d
    incq {C_IRET_RETURNS}(%rsp)
    mov %rcx, {R_RIP}(%rsp)
    mov %rdx, {R_CS}(%rsp)
    mov %r11, {R_RFLAGS}(%rsp)
    mov %rdi, {R_RSP}(%rsp)
    mov %rsi, {R_SS}(%rsp)
    mov {R_RDI}(%rsp), %rdi
    mov {R_RSI}(%rsp), %rsi
    mov {R_RDX}(%rsp), %rdx
    mov {R_R8}(%rsp), %r8
    mov {R_RCX}(%rsp), %rcx
    mov {R_R11}(%rsp), %r11
    TRACE exit
    lea {R_RIP}(%rsp), %rsp
    jmp iret_to_guest
FIXUP 1b, iret_other_slow
FIXUP 2b, iret_other_slow
FIXUP 3b, iret_other_slow
FIXUP 4b, iret_other_slow
FIXUP 5b, iret_other_slow
FIXUP 6b, iret_other_slow
FIXUP 7b, iret_other_slow
FIXUP 8b, iret_other_slow
FIXUP 9b, iret_other_slow
FIXUP 10b, iret_other_slow

iret_other_slow:
    mov {R_RDI}(%rsp), %rdi
    mov {R_RSI}(%rsp), %rsi
    mov {R_R8}(%rsp), %r8
    jmp iret_slow

.balign 16
hypercall:
    mov {R_RIP}(%rsp), %rcx
    SAVE_GPRS
    movq $0xe033, {R_CS}(%rsp)
    movq $0xe02b, {R_SS}(%rsp)
    movl $0, {R_ERROR}(%rsp)
    movl ${VECTOR_SYSCALL}, {R_VECTOR}(%rsp)
    xor %ebp, %ebp
    mov %rsp, %rdi
    sti
    call hypercall_from_guest
    # falls through

# ---------------------------------------------------------------------------------------------------------------------
# The exit. RSP = base.
.global exit_to_guest
exit_to_guest:
    cli
    cmpq $0, {C_PENDING}(%rsp)
    jne exit_work
    mov {C_INFO}(%rsp), %rax
    movzwl (%rax), %eax
    test %al, %al
    jz 1f
    test %ah, %ah
    jz exit_work
1:  TRACE exit
    RESTORE_CALLEE
    mov {R_RDI}(%rsp), %rdi
    mov {R_RSI}(%rsp), %rsi
    mov {R_RDX}(%rsp), %rdx
    mov {R_R8}(%rsp), %r8
    mov {R_R9}(%rsp), %r9
    mov {R_R10}(%rsp), %r10

    cmpl ${VECTOR_SYSCALL}, {R_VECTOR}(%rsp)
    jne 2f
    mov {R_RIP}(%rsp), %rcx
    mov %rcx, %rax
    shl $16, %rax
    sar $16, %rax
    cmp %rax, %rcx
    jne 2f
    mov {R_RFLAGS}(%rsp), %r11
    test $0x10000, %r11d                # RF: only IRET restores it
    jnz 2f
    mov {R_RAX}(%rsp), %rax
    mov {R_RSP}(%rsp), %rsp
    sysretq

2:  mov {R_RAX}(%rsp), %rax
    mov {R_RCX}(%rsp), %rcx
    mov {R_R11}(%rsp), %r11
    lea {R_RIP}(%rsp), %rsp
.global iret_to_guest
iret_to_guest:
    iretq
FIXUP iret_to_guest, 0                  # handled apart: see `fault_in_iret`

exit_work:
    mov %rsp, %rdi
    call exit_work_for_guest            # returns with interrupts off or on; everything is looked at again
    jmp exit_to_guest

# The guest's frame made IRETQ fault: Rust has copied its registers back over the frame of that fault, so there is no
# way back to the IRETQ. RAX = base.
iret_faulted:
    mov %rax, %rsp
    xor %ebp, %ebp
    mov %rsp, %rdi
    call raise_iret_fault
    jmp exit_to_guest

# ---------------------------------------------------------------------------------------------------------------------
# Exceptions and interrupts. 256 stubs of 16 bytes.
.balign 16
.global vector_stubs
vector_stubs:
.set vec, 0
.rept 256
    .balign 16
    .if (vec == 8) || (vec >= 10 && vec <= 14) || (vec == 17) || (vec == 21)
    .else
    push $0
    .endif
    movl $vec, 4(%rsp)
    .if vec == 14
    jmp page_fault_entry
    .elseif (vec == 1) || (vec == 2) || (vec == 8) || (vec == 18)
    jmp ist_common
    .else
    jmp trap_common
    .endif
    .set vec, vec + 1
.endr

# A page fault of the guest's user mode goes to the guest kernel's handler, if that masks events.
.balign 64
page_fault_entry:
    testb $3, 16(%rsp)
    jz trap_common
    sub ${R_ERROR}, %rsp                # RSP = base
    CLAC
    cld
    mov %rcx, {R_RCX}(%rsp)
    mov %rdx, {R_RDX}(%rsp)
    TRACE page_fault
    testl ${IN_KERNEL}, {PV_FLAGS}(%rsp)
    jnz page_fault_slow
    testb $4, {R_ERROR}(%rsp)           # else the CPU itself read a descriptor
    jz page_fault_slow
    cmpq $0, {C_PENDING}(%rsp)
    jne page_fault_slow
    mov {C_PAGE_FAULT_GATE}(%rsp), %rdx
    cmpq $0, {GATE_ADDRESS}(%rdx)
    je page_fault_slow
    testb $4, 2+{GATE_FLAGS}(%rdx)      # masks events
    jz page_fault_slow
    mov %rax, {R_RAX}(%rsp)
    incq {C_FAULT_BOUNCES}(%rsp)
    mov {C_INFO}(%rsp), %rcx
    mov %cr2, %rax
    mov %rax, {INFO_CR2}(%rcx)
    mov %rax, {PV_CR2}(%rsp)
    movzbl 1(%rcx), %eax                # evtchn_upcall_mask, not 0 being set
    movb $1, 1(%rcx)
    cmp $1, %al
    sbb %eax, %eax                      # all ones: events were not masked
    mov {PV_KERNEL_ROOT}(%rsp), %rcx
    mov %rcx, %cr3
    swapgs
    orl ${IN_KERNEL}, {PV_FLAGS}(%rsp)
    mov {R_CS}(%rsp), %rdx
    movzwl %dx, %edx
    lea 1(%rax), %ecx                   # the mask from before
    shl $32, %rcx
    or %rcx, %rdx                       # CS with the saved mask
    and $0x200, %eax
    mov {R_RFLAGS}(%rsp), %rcx
    and $~0x3200, %rcx
    or %rax, %rcx
    mov {C_VM_ASSIST}(%rsp), %rax
    testl ${ARCH_IOPL}, (%rax)
    jz 1f
    mov {PV_IOPL}(%rsp), %eax
    shl $12, %eax
    or %rax, %rcx
1:  mov {PV_KERNEL_SP}(%rsp), %rax      # aligned, and its frames are the guest's or fault (pv::kernel_stack)
    STAC
2:  mov %rcx, -24(%rax)                 # RFLAGS
3:  mov %rdx, -32(%rax)                 # CS
    mov {R_SS}(%rsp), %rcx
    movzwl %cx, %ecx
    mov {R_RSP}(%rsp), %rdx
4:  mov %rcx, -8(%rax)                  # SS
5:  mov %rdx, -16(%rax)                 # RSP
    mov {R_RIP}(%rsp), %rcx
    mov {R_ERROR}(%rsp), %edx
6:  mov %rcx, -40(%rax)                 # RIP
7:  mov %rdx, -48(%rax)                 # error code
    mov {R_RCX}(%rsp), %rcx
8:  mov %r11, -56(%rax)                 # R11
9:  mov %rcx, -64(%rax)                 # RCX
    CLAC
    sub $64, %rax
    mov %rax, {R_RSP}(%rsp)
    movq $0xe02b, {R_SS}(%rsp)
    mov {C_PAGE_FAULT_GATE}(%rsp), %rdx
    mov {GATE_ADDRESS}(%rdx), %rax
    mov %rax, {R_RIP}(%rsp)
    movzwl {GATE_FLAGS}(%rdx), %eax
    or $3, %eax
    mov %rax, {R_CS}(%rsp)
    mov {R_RFLAGS}(%rsp), %rax
    and $~0x77100, %rax                 # TF, IOPL, NT, RF, VM, AC
    or $0x200, %rax
    mov %rax, {R_RFLAGS}(%rsp)
    mov {R_RAX}(%rsp), %rax
    mov {R_RDX}(%rsp), %rdx
    TRACE exit
    lea {R_RIP}(%rsp), %rsp
    jmp iret_to_guest
FIXUP 2b, page_fault_bounce_failed
FIXUP 3b, page_fault_bounce_failed
FIXUP 4b, page_fault_bounce_failed
FIXUP 5b, page_fault_bounce_failed
FIXUP 6b, page_fault_bounce_failed
FIXUP 7b, page_fault_bounce_failed
FIXUP 8b, page_fault_bounce_failed
FIXUP 9b, page_fault_bounce_failed

page_fault_bounce_failed:
    CLAC
    mov {R_RAX}(%rsp), %rax
    mov {R_RCX}(%rsp), %rcx
    mov {R_RDX}(%rsp), %rdx
    mov %rax, {R_RAX}(%rsp)
    SAVE_GPRS
    xor %ebp, %ebp
    sti
    call guest_bounce_failed
    jmp exit_to_guest

page_fault_slow:
    mov %rax, {R_RAX}(%rsp)
    SAVE_GPRS
    mov {R_ERROR}(%rsp), %eax
    xor %ebp, %ebp
    mov %rsp, %rdi
    and $0x1b, %eax                     # present, write, reserved bit, fetch
    cmp $3, %eax
    jne 1f
    testl ${IN_KERNEL}, {PV_FLAGS}(%rsp)
    jz 1f
    call write_fault_of_kernel          # mostly a store to a page table
    jmp exit_to_guest
1:  call trap_from_guest
    jmp exit_to_guest

.balign 64
trap_common:
    CLAC
    cld
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    testb $3, {F_CS}(%rsp)
    jz trap_inside
from_guest:
    sub $8, %rsp                        # RSP = base
    TRACE trap
    xor %ebp, %ebp
    mov %rsp, %rdi
    call trap_from_guest
    jmp exit_to_guest

trap_inside:                            # in the hypervisor itself: any depth of this CPU's stack
    mov %rsp, %rdi
    mov %rsp, %rbx
    mov {F_RBP}(%rsp), %rbp
    and $-16, %rsp
    call trap_from_hypervisor
    test %rax, %rax
    jnz iret_faulted
    mov %rbx, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    add $8, %rsp
    iretq

# Vectors with a stack of their own (#DB, NMI, #DF, #MC).
ist_common:
    CLAC
    cld
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    testb $3, {F_CS}(%rsp)
    jz trap_inside
    cmpl $1, {F_VECTOR}(%rsp)
    jne trap_inside                     # NMI and #MC stay on their stack
    # #DB from the guest: go on on the main stack, with the frame copied to its fixed place.
    mov %rsp, %rsi
    mov %rsp, %rdi
    or $0xffff, %rdi
    sub ${TOP_MINUS_ONE}, %rdi          # base
    mov %rdi, %rdx
    add $8, %rdi
    mov $21, %ecx                       # words of Regs
    rep movsq
    mov %rdx, %rsp
    TRACE trap
    xor %ebp, %ebp
    mov %rsp, %rdi
    call trap_from_guest
    jmp exit_to_guest

