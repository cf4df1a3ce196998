# From the firmware, which is QEMU's or a hypervisor's, into Rust: 32-bit or 16-bit code first, then long mode.

# The PVH boot protocol: a note that says where 32-bit code begins.
.section .note.pvh, "a", @note
    .balign 4
    .long 4                             # bytes in the name
    .long 4                             # bytes in the value
    .long 18                            # its type, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

.section .text.boot, "ax"

# The first core comes here, with paging and interrupts off, and segments of 4 GiB.
.code32
.global _start
_start:
    # QEMU clears .bss, other loaders may not.
    cld
    mov edi, offset __bss_start
    mov ecx, offset __bss_end
    sub ecx, edi
    xor eax, eax
    rep stosb
    mov ebp, 1                          # the first
    lgdt [gdt_pointer]
    jmp into_long_mode

# All other cores come here, in real mode, in a copy of this code in the first MiB.
.code16
.global trampoline, trampoline_end
trampoline:
    mov ax, cs
    mov ds, ax
    .equ gdt_pointer_in_copy, gdt_pointer - trampoline
    lgdt [gdt_pointer_in_copy]
    mov eax, 1                          # protection, but no paging
    mov cr0, eax
    # A far jump to 32-bit code, for which Intel's syntax has no name here.
    .byte 0x66, 0xea
    .long start_other
    .word 0x10
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

.code32
start_other:
    xor ebp, ebp

# `ebp` is whether this is the first core.
into_long_mode:
    mov eax, 1 << 5                     # entries of page tables have 64 bits
    mov cr4, eax
    mov eax, offset boot_tables
    mov cr3, eax
    mov ecx, 0xc0000080                 # EFER
    xor edx, edx
    mov eax, 1 << 8 | 1 << 11           # long mode; pages may be without code
    wrmsr
    # Paging, read-only pages that are so for the kernel as well, protection; and caches, which are off in all but the first core.
    mov eax, 1 << 31 | 1 << 16 | 1
    mov cr0, eax
    ljmp 0x08, offset long_mode

.code64
long_mode:
    # Data segments are without effect here, and may be null.
    xor eax, eax
    mov ss, eax
    mov ds, eax
    mov es, eax
    # The number of the APIC is the core's.
    mov eax, 1
    cpuid
    shr ebx, 24
    mov edi, ebx
    mov esi, ebp
    inc ebx
    shl ebx, {stack_shift}
    lea rsp, [{stacks} + rbx]
    xor ebp, ebp
    call {enter}

# Accessed from the start, so that processors need not write that.
.section .rodata.boot, "a"
    .balign 8
gdt:
    .quad 0
    .quad 0x00209b0000000000            # 0x08: 64-bit code
    .quad 0x00cf9b000000ffff            # 0x10: 32-bit code
gdt_end:

# Page tables until the kernel has made its own: the first GiB, at its own addresses.
.section .data.boot, "aw"
    .balign 4096
boot_tables:
    .quad boot_gigabytes + 0x003        # there, to be written
    .balign 4096
boot_gigabytes:
    .quad 0x083                         # the same, a block of 1 GiB
    .balign 4096

.text
