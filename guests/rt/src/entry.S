# Notes, entry, trap stubs and the event callback of a 64-bit PV guest. Intel syntax.

.macro note type, content:vararg
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4, 92f - 91f, \type
    .asciz "Xen"
91: \content
92: .balign 4
    .popsection
.endm

note 6, .asciz "Ferroxen test guest"
note 8, .asciz "generic"
note 5, .asciz "xen-3.0"
note 3, .quad 0xffffffff80000000
note 4, .quad 0
note 1, .quad guest_entry
note 2, .quad hypercall_page
note 9, .asciz "yes"
note 13, .quad 1, 1
note 12, .quad 0xffff800000000000
# XENFEAT_writable_page_tables is not asked for: pages that hold tables are mapped read-only here.
note 10, .asciz "pae_pgdir_above_4gb"
# XENFEAT_dom0, so that the guest also runs as the only domain.
note 17, .long (1 << 11) | (1 << 4)

.section .text.entry, "ax", @progbits
.global guest_entry
guest_entry:
    cld
    lea rsp, [rip + boot_stack_top]
    xor ebp, ebp
    mov rdi, rsi
    call guest_start
    ud2

# A vcpu that VCPUOP_initialise started: RDI and RSI came with its context.
.global vcpu_entry
vcpu_entry:
    cld
    xor ebp, ebp
    call rsi
    ud2

.section .text.hypercall_page, "ax", @progbits
.balign 4096
.global hypercall_page
hypercall_page:
    .skip 4096

.text
# Trap stubs, 16 bytes each. The hypervisor pushed RCX and R11 on top of the frame.
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 32
    .balign 16
    pop rcx
    pop r11
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
    .else
    push 0
    .endif
    push vector
    jmp trap_common
    .set vector, vector + 1
.endr

trap_common:
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rbp, rsp
    and rsp, -16
    cld
    call guest_trap
    mov rsp, rbp
restore_and_iret:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    add rsp, 16
    # The CS slot also holds the mask from before; only the selector goes back.
    mov word ptr [rsp + 10], 0
    mov dword ptr [rsp + 12], 0
    push 0
    jmp hypercall_page + 23 * 32

.global event_callback
event_callback:
    pop rcx
    pop r11
    push 0
    push 256
    jmp trap_common

# The hypervisor could not go back to where it was told to: four data selectors are on top of the frame.
.global failsafe_callback
failsafe_callback:
    # RCX, R11, DS, ES, FS, GS
    mov rcx, [rsp + 32]
    mov [rip + failsafe_fs], rcx
    pop rcx
    pop r11
    add rsp, 32
    push 0
    push 257
    jmp trap_common

# SYSCALL from user mode: the frame is complete, CS and SS are those of user mode.
.global syscall_callback
syscall_callback:
    pop rcx
    pop r11
    push 0
    push 258
    jmp trap_common

# void enter_user(rdi: iret frame of five words, rsi: user_return_slot): runs user mode until guest_trap sends it back.
.global enter_user
enter_user:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rsi], rsp
    push [rdi + 32]
    push [rdi + 24]
    push [rdi + 16]
    push [rdi + 8]
    push [rdi]
    push [rdi + 48]
    mov rdi, [rdi + 40]
    jmp hypercall_page + 23 * 32
.global leave_user
leave_user:
    # RSP is what enter_user stored.
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
