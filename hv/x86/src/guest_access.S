# Guest memory, selectors and MSRs, where a fault is expected. Part of entry.S's assembly: its macros are used.
# Copies from and to the running guest: RDI = to, RSI = from, RDX = bytes; gives the bytes not copied.
.balign 16
.global copy_guest_bytes
copy_guest_bytes:
    mov %rdx, %rcx
    shr $3, %rcx
    and $7, %edx
    STAC
1:  rep movsq
    mov %edx, %ecx
2:  rep movsb
3:  CLAC
    mov %rcx, %rax
    ret
4:  lea (%rdx,%rcx,8), %rcx             # a word cannot be copied: bytewise up to the fault
    jmp 2b
FIXUP 1b, 4b
FIXUP 2b, 3b

# 16 bytes, as two words: RDI = from; RAX, RDX = values; ECX = 0, or 1 when one of them faults.
.balign 16
.global load_guest_pair
load_guest_pair:
    xor %ecx, %ecx
    STAC
1:  mov (%rdi), %rax
2:  mov 8(%rdi), %rdx
3:  CLAC
    ret
4:  mov $1, %ecx
    jmp 3b
FIXUP 1b, 4b
FIXUP 2b, 4b

# 24 bytes, as three words: RDI = from; RAX, RDX, RSI = values; ECX = 0, or 1 when one of them faults.
.balign 16
.global load_guest_triple
load_guest_triple:
    xor %ecx, %ecx
    STAC
1:  mov (%rdi), %rax
2:  mov 8(%rdi), %rdx
3:  mov 16(%rdi), %rsi
4:  CLAC
    ret
5:  mov $1, %ecx
    jmp 4b
FIXUP 1b, 5b
FIXUP 2b, 5b
FIXUP 3b, 5b

# One aligned or unaligned word: RDI = from; RAX = value, RDX = 0, or RDX = 1 when it faults.
.balign 16
.global load_guest_word
load_guest_word:
    xor %edx, %edx
    STAC
1:  mov (%rdi), %rax
2:  CLAC
    ret
3:  mov $1, %edx
    jmp 2b
FIXUP 1b, 3b

# RDI = to, RSI = value; RAX = 0, or 1 when it faults.
.balign 16
.global store_guest_word
store_guest_word:
    xor %eax, %eax
    STAC
1:  mov %rsi, (%rdi)
2:  CLAC
    ret
3:  mov $1, %eax
    jmp 2b
FIXUP 1b, 3b

# Loads a data segment register, or a null selector where the descriptor is bad. EDI = selector; EAX = 1 if bad.
.macro LOADSEG name, reg
.global \name
\name:
    xor %eax, %eax
1:  mov %edi, %\reg
    ret
2:  mov $1, %eax
    xor %edi, %edi
    mov %edi, %\reg
    ret
FIXUP 1b, 2b
.endm
LOADSEG load_ds, ds
LOADSEG load_es, es
LOADSEG load_fs, fs
LOADSEG load_gs, gs

# MSR access that may fault. EDI = index; RAX = value, RDX = 1 on #GP.
.global rdmsr_safe
rdmsr_safe:
    mov %edi, %ecx
1:  rdmsr
    shl $32, %rdx
    or %rdx, %rax
    xor %edx, %edx
    ret
2:  xor %eax, %eax
    mov $1, %edx
    ret
FIXUP 1b, 2b

# EDI = index, RSI = value; RAX = 1 on #GP.
.global wrmsr_safe
wrmsr_safe:
    mov %edi, %ecx
    mov %esi, %eax
    mov %rsi, %rdx
    shr $32, %rdx
1:  wrmsr
    xor %eax, %eax
    ret
2:  mov $1, %eax
    ret
FIXUP 1b, 2b

.section .text
