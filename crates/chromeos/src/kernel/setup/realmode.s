# The smallest real-mode part that starts a kernel by its 32-bit entry; `realmode.rs` has the bytes of it.
#
# A boot loader enters it at byte 0x200, with %ds where it begins, %cs = %ds + 0x20, and a stack. It makes boot
# parameters of the setup header as the boot loader left it, asks the BIOS for the memory map, and jumps to
# `code32_start`. Source: Linux, Documentation/x86/boot.rst, "32-bit boot protocol"; include/uapi/asm/bootparam.h.
        .set    PARAMS, 0x4000          # one page, between this and the stack
        .set    HEADER, 0x1f1           # the setup header, in both
        .set    HEADER_END, 0x280

        .code16
        .org    0x280
start:  cli
        cld
        movw    %ds, %ax
        movw    %ax, %es
        pushw   %ds                     # offsets count from the begin of this from now on
        pushw   $1f
        lretw
1:      movw    $PARAMS, %di
        xorl    %eax, %eax
        movw    $1024, %cx
        rep     stosl
        movw    $HEADER, %si
        movw    $PARAMS + HEADER, %di
        movw    $HEADER_END - HEADER, %cx
        rep     movsb

        movb    $3, %ah                 # where the cursor is
        xorw    %bx, %bx
        int     $0x10
        movw    %dx, PARAMS             # orig_x, orig_y
        movw    $0x5003, PARAMS + 0x06  # orig_video_mode 3, orig_video_cols 80
        movw    $0x0119, PARAMS + 0x0e  # orig_video_lines 25, orig_video_isVGA
        movw    $16, PARAMS + 0x10      # orig_video_points

        movw    $PARAMS + 0x2d0, %di    # e820_table
        xorl    %ebx, %ebx
2:      movl    $0xe820, %eax
        movl    $0x534d4150, %edx       # "SMAP"
        movl    $20, %ecx
        int     $0x15
        jc      3f
        cmpl    $0x534d4150, %eax
        jne     3f
        addw    $20, %di
        incb    PARAMS + 0x1e8          # e820_entries
        cmpb    $128, PARAMS + 0x1e8
        jae     3f
        testl   %ebx, %ebx
        jnz     2b

3:      movw    $0x2401, %ax            # the 21st address line, by the BIOS and by hand
        int     $0x15
        inb     $0x92, %al
        orb     $2, %al
        andb    $0xfe, %al
        outb    %al, $0x92
        cli

        xorl    %ebp, %ebp              # where this is in memory
        movw    %ds, %bp
        shll    $4, %ebp
        leal    PARAMS(%ebp), %esi
        addl    %ebp, gdtr + 2
        addl    %ebp, target
        movl    0x214, %edx             # code32_start
        lgdtl   gdtr
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        .byte   0x66, 0xea              # ljmpl $0x10, $protected
target: .long   protected
        .word   0x10

        .code32
protected:
        movl    $0x18, %ecx
        movl    %ecx, %ds
        movl    %ecx, %es
        movl    %ecx, %fs
        movl    %ecx, %gs
        movl    %ecx, %ss
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %edi, %edi
        jmp     *%edx

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00cf9a000000ffff      # 0x10: code, flat
        .quad   0x00cf92000000ffff      # 0x18: data, flat
gdtr:   .word   31
        .long   gdt
