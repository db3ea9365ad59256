// Waits for the time and for entropy on its standard input, and takes both in. See ../wake.rs.
// At sp: the message; at sp + 64: how the terminal is; at sp + 128: how it is to be meanwhile.
    sub sp, sp, #256
    // ioctl(0, TCGETS, sp + 64): w21 = 0 if it is a terminal
    mov x1, #0x5401
    add x2, sp, #64
    bl terminal
    mov w21, w0
    cbnz w0, asleep
    // No echo, no lines, no bytes that mean something, and 56 of them at once
    ldp q0, q1, [sp, #64]
    stp q0, q1, [sp, #128]
    ldr w3, [sp, #96]
    str w3, [sp, #160]
    str wzr, [sp, #128]
    str wzr, [sp, #140]
    mov w3, #(56 << 8)
    strh w3, [sp, #150]
    mov x1, #0x5402
    add x2, sp, #128
    bl terminal
asleep:
    // write(1, said, 11)
    mov x0, #1
    adr x1, said
    mov x2, #11
    mov x8, #64
    svc #0
    // read(0, sp + x19, 56 - x19) until there is all of it, or no more
    mov x19, #0
more:
    mov x0, #0
    add x1, sp, x19
    mov x2, #56
    sub x2, x2, x19
    mov x8, #63
    svc #0
    cmp x0, #0
    b.le heard
    add x19, x19, x0
    cmp x19, #56
    b.ne more
heard:
    // ioctl(0, TCSETS, sp + 64)
    cbnz w21, told
    mov x1, #0x5402
    add x2, sp, #64
    bl terminal
told:
    mov w20, #1
    cmp x19, #56
    b.ne end
    // clock_settime(CLOCK_REALTIME, sp) == 0
    mov x0, #0
    mov x1, sp
    mov x8, #112
    svc #0
    mov w20, #2
    cbnz x0, end
    // x19 = openat(AT_FDCWD, "/dev/urandom", O_WRONLY) >= 0
    mov x0, #-100
    adr x1, random
    mov x2, #1
    mov x3, #0
    mov x8, #56
    svc #0
    mov w20, #3
    tbnz x0, #63, end
    mov x19, x0
    // ioctl(x19, RNDADDENTROPY, sp + 16) == 0
    mov w1, #0x5203
    movk w1, #0x4008, lsl #16
    add x2, sp, #16
    mov x8, #29
    svc #0
    mov w20, #4
    cbnz x0, end
    // ioctl(x19, RNDRESEEDCRNG) == 0
    mov x0, x19
    mov w1, #0x5207
    mov x8, #29
    svc #0
    mov w20, #5
    cbnz x0, end
    mov w20, #0
end:
    // exit(w20)
    mov w0, w20
    mov x8, #93
    svc #0
terminal:
    // ioctl(0, x1, x2)
    mov x0, #0
    mov x8, #29
    svc #0
    ret
said:
    .ascii "<_bwasleep\n"
random:
    .asciz "/dev/urandom"
