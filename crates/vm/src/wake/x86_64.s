# Waits for the time and for entropy on its standard input, and takes both in. See ../wake.rs.
# At rsp: the message; at rsp + 64: how the terminal is; at rsp + 128: how it is to be meanwhile.
.intel_syntax noprefix
    sub rsp, 256
    # ioctl(0, TCGETS, rsp + 64): ebp = 0 if it is a terminal
    mov esi, 0x5401
    lea rdx, [rsp + 64]
    call terminal
    mov ebp, eax
    test eax, eax
    jnz asleep
    # No echo, no lines, no bytes that mean something, and 56 of them at once
    lea rsi, [rsp + 64]
    lea rdi, [rsp + 128]
    push 16
    pop rcx
    rep movsd
    mov [rsp + 128], eax
    mov [rsp + 140], eax
    mov word ptr [rsp + 150], 56 << 8
    mov esi, 0x5402
    lea rdx, [rsp + 128]
    call terminal
asleep:
    # write(1, said, 11)
    push 1
    pop rax
    mov edi, eax
    lea rsi, [rip + said]
    push 11
    pop rdx
    syscall
    # read(0, rsp + ebx, 56 - ebx) until there is all of it, or no more
    xor ebx, ebx
more:
    xor eax, eax
    xor edi, edi
    lea rsi, [rsp + rbx]
    push 56
    pop rdx
    sub edx, ebx
    syscall
    test eax, eax
    jle heard
    add ebx, eax
    cmp ebx, 56
    jne more
heard:
    # ioctl(0, TCSETS, rsp + 64)
    test ebp, ebp
    jnz told
    mov esi, 0x5402
    lea rdx, [rsp + 64]
    call terminal
told:
    push 1
    pop rbp
    cmp ebx, 56
    jne end
    # clock_settime(CLOCK_REALTIME, rsp) == 0
    mov eax, 227
    xor edi, edi
    mov rsi, rsp
    syscall
    inc ebp
    test eax, eax
    jnz end
    # ebx = open("/dev/urandom", O_WRONLY) >= 0
    lea rdi, [rip + random]
    push 1
    pop rsi
    push 2
    pop rax
    syscall
    inc ebp
    test eax, eax
    js end
    mov ebx, eax
    # ioctl(ebx, RNDADDENTROPY, rsp + 16) == 0
    mov edi, eax
    mov esi, 0x40085203
    lea rdx, [rsp + 16]
    push 16
    pop rax
    syscall
    inc ebp
    test eax, eax
    jnz end
    # ioctl(ebx, RNDRESEEDCRNG) == 0
    mov edi, ebx
    mov esi, 0x5207
    push 16
    pop rax
    syscall
    inc ebp
    test eax, eax
    jnz end
    xor ebp, ebp
end:
    # exit(ebp)
    mov edi, ebp
    push 60
    pop rax
    syscall
terminal:
    # ioctl(0, esi, rdx)
    push 16
    pop rax
    xor edi, edi
    syscall
    ret
said:
    .ascii "<_bwasleep\n"
random:
    .asciz "/dev/urandom"
