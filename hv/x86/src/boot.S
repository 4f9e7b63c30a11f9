# From the boot loader's 32-bit protected mode to Rust in 64-bit mode.
#
# Multiboot 1 (with address fields: QEMU's -kernel, GRUB's multiboot), Multiboot 2 (GRUB's multiboot2) and PVH
# (XEN_ELFNOTE_PHYS32_ENTRY) arrive here: EAX = magic, EBX = physical address of the information.

.set MB1_FLAGS, 0x00010003              # modules aligned to pages, memory information, address fields
.set HV_VIRT, 0xffff82d040000000

.section .multiboot, "a"
.balign 8
mb1_header:
    .long 0x1badb002
    .long MB1_FLAGS
    .long -(0x1badb002 + MB1_FLAGS)
    .long mb1_header - HV_VIRT          # header_addr
    .long image_start_phys              # load_addr
    .long data_end_phys                 # load_end_addr
    .long image_end_phys                # bss_end_addr
    .long start_phys                    # entry_addr

.balign 8
mb2_header:
    .long 0xe85250d6
    .long 0                             # i386 protected mode
    .long mb2_end - mb2_header
    .long -(0xe85250d6 + 0 + (mb2_end - mb2_header))
    # address tag
    .balign 8
    .short 2, 0
    .long 24
    .long mb2_header - HV_VIRT
    .long image_start_phys
    .long data_end_phys
    .long image_end_phys
    # entry address tag
    .balign 8
    .short 3, 0
    .long 12
    .long start_phys
    # modules aligned to pages
    .balign 8
    .short 6, 0
    .long 8
    # console: VGA text will do; optional
    .balign 8
    .short 4, 1
    .long 12
    .long 2
    # framebuffer: whatever mode the loader likes; optional
    .balign 8
    .short 5, 1
    .long 20
    .long 0, 0, 0
    # end
    .balign 8
    .short 0, 0
    .long 8
mb2_end:

# PVH: the entry is told by this note; EBX = physical address of struct hvm_start_info.
.section .note.Xen, "a"
.balign 4
    .long 4, 4, 18                      # "Xen\0", one u32, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start_pvh - HV_VIRT

.section .boot, "ax"
.code32
.global start
start_pvh:
    mov $0x336ec578, %eax               # XEN_HVM_START_MAGIC_VALUE
start:
    cld
    cli
    mov %eax, boot_magic - HV_VIRT
    mov %ebx, boot_info - HV_VIRT
    mov $(boot_stack_end - HV_VIRT), %esp

    # Long mode, NX?
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb no_long_mode
    mov $0x80000001, %eax
    cpuid
    bt $29, %edx
    jnc no_long_mode
    mov %edx, boot_ext_features - HV_VIRT

    # Boot tables: the first 4 GiB with 2 MiB pages, seen at 0, at HV_VIRT (its first GiB) and at the direct map.
    mov $(boot_l2 - HV_VIRT), %edi
    mov $0x83, %eax                     # present, writable, 2 MiB
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

    mov $(boot_l2 - HV_VIRT + 0x03), %eax
    mov $(boot_l3 - HV_VIRT), %edi
    mov $4, %ecx
2:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 2b
    mov $(boot_l2 - HV_VIRT + 0x03), %eax
    mov %eax, boot_l3_image - HV_VIRT + 321 * 8

    mov $(boot_l3 - HV_VIRT + 0x03), %eax
    mov %eax, boot_l4 - HV_VIRT
    mov %eax, boot_l4 - HV_VIRT + 262 * 8
    mov $(boot_l3_image - HV_VIRT + 0x03), %eax
    mov %eax, boot_l4 - HV_VIRT + 261 * 8

    mov %cr4, %eax
    or $0x20, %eax                      # PAE
    mov %eax, %cr4
    mov $(boot_l4 - HV_VIRT), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               # EFER: LME, SCE, and NX where the CPU has it
    rdmsr
    or $0x101, %eax
    btl $20, boot_ext_features - HV_VIRT
    jnc 3f
    or $0x800, %eax
3:  wrmsr
    mov $0x80050033, %eax               # PG AM WP NE ET MP PE
    mov %eax, %cr0
    lgdt boot_gdtr - HV_VIRT
    ljmp $0x08, $(start64_low - HV_VIRT)

no_long_mode:
    mov $(no_long_mode_text - HV_VIRT), %esi
    mov $0x3f8, %edx
4:  lodsb
    test %al, %al
    jz 5f
    outb %al, %dx
    jmp 4b
5:  hlt
    jmp 5b

.code64
start64_low:
    movabs $start64_high, %rax
    jmp *%rax
start64_high:
    xor %eax, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    lea boot_stack_end(%rip), %rsp
    xor %ebp, %ebp
    mov boot_magic(%rip), %edi
    mov boot_info(%rip), %esi
    call boot_main
    ud2

# Another CPU starts here, copied to a page below 1 MiB: 16-bit real mode, CS:0 = this code.
.balign 16
.code16
.global ap_trampoline
ap_trampoline:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    lgdtl (ap_gdtr - ap_trampoline)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x18, $(ap_start32 - HV_VIRT)
.balign 8
ap_gdtr:
    .short boot_gdt_end - boot_gdt - 1
    .long boot_gdt - HV_VIRT
.global ap_trampoline_end
ap_trampoline_end:

.code32
ap_start32:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $(boot_l4 - HV_VIRT), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x101, %eax
    btl $20, boot_ext_features - HV_VIRT
    jnc 1f
    or $0x800, %eax
1:  wrmsr
    mov $0x80050033, %eax
    mov %eax, %cr0
    ljmp $0x08, $(ap_start64 - HV_VIRT)
.code64
ap_start64:
    movabs $ap_start64_high, %rax
    jmp *%rax
ap_start64_high:
    mov ap_root(%rip), %rax             # the final tables, which map the CPU's own stack
    mov %rax, %cr3
    xor %eax, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov ap_stack(%rip), %rsp
    xor %ebp, %ebp
    call ap_main
    ud2

.section .rodata.boot, "a"
no_long_mode_text: .asciz "(XEN) Ferroxen cannot start: this CPU has no 64-bit mode; use an x86-64 machine\r\n"
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff            # 0x08: 64-bit code
    .quad 0x00cf92000000ffff            # 0x10: data
    .quad 0x00cf9a000000ffff            # 0x18: 32-bit code
boot_gdt_end:
boot_gdtr:
    .short boot_gdt_end - boot_gdt - 1
    .quad boot_gdt - HV_VIRT

.section .data.boot, "aw"
.balign 8
boot_magic: .long 0
boot_info: .long 0
boot_ext_features: .long 0
.balign 8
.global ap_root
ap_root: .quad 0
.global ap_stack
ap_stack: .quad 0

.section .bss.boot, "aw", @nobits
.balign 4096
boot_l4: .skip 4096
boot_l3: .skip 4096
boot_l3_image: .skip 4096
boot_l2: .skip 4 * 4096
# Not mapped by the final tables.
.global boot_stack_guard
boot_stack_guard: .skip 4096
boot_stack: .skip 131072
boot_stack_end:

.section .text
