/*
 * On x86-64 a switch saves the six registers that a called function must keep, and the
 * stack pointer. Elsewhere, ucontext does it. The address sanitizer is told about each
 * switch, so that it knows whose stack it looks at.
 */
#include "tests/sim/fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define FIBER_STACK_BYTES (1024u * 1024u)

struct fiber {
    void (*body)(void *context);
    void *context;
    uint8_t *stack;
#ifdef __x86_64__
    void *own, *outer; /* stack pointers */
#else
    ucontext_t own, outer;
#endif
#ifdef FIBER_ASAN
    void *fake_own, *fake_outer;
    const void *outer_bottom;
    size_t outer_bytes;
#endif
};

#ifdef __x86_64__
void sim_fiber_switch(void **save, void *load);
__asm__(".text\n"
        ".globl sim_fiber_switch\n"
        ".hidden sim_fiber_switch\n"
        ".type sim_fiber_switch, @function\n"
        "sim_fiber_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size sim_fiber_switch, .-sim_fiber_switch\n");
#endif

static void fiber_main(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &fiber->outer_bottom, &fiber->outer_bytes);
#endif
    fiber->body(fiber->context);
    abort(); /* a body never returns */
}

#ifdef __x86_64__
/* The first switch "returns" here, with the fiber in a register that it restored. */
__asm__(".text\n"
        ".hidden sim_fiber_entry\n"
        ".type sim_fiber_entry, @function\n"
        "sim_fiber_entry:\n"
        "    movq %rbx, %rdi\n"
        "    xorl %ebp, %ebp\n"
        "    callq *%r12\n"
        "    ud2\n"
        ".size sim_fiber_entry, .-sim_fiber_entry\n");
extern const char sim_fiber_entry[];
#else
static void fiber_entry(unsigned high, unsigned low)
{
    fiber_main((struct fiber *)(uintptr_t)((uint64_t)high << 32 | low));
}
#endif

struct fiber *fiber_create(void (*body)(void *context), void *context)
{
    struct fiber *fiber = calloc(1, sizeof(*fiber));
    void *stack = mmap(NULL, FIBER_STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (fiber == NULL || stack == MAP_FAILED) {
        fputs("sim: no memory for a fiber\n", stderr);
        abort();
    }
    /* The lowest page is a fence. */
    if (mprotect(stack, 4096, PROT_NONE) != 0) {
        abort();
    }
    fiber->stack = stack;
    fiber->body = body;
    fiber->context = context;
#ifdef __x86_64__
    {
        uint64_t *top = (uint64_t *)(void *)(fiber->stack + FIBER_STACK_BYTES) - 2;

        *--top = (uint64_t)(uintptr_t)sim_fiber_entry; /* where the switch returns to */
        *--top = 0;                                    /* rbp */
        *--top = (uint64_t)(uintptr_t)fiber;           /* rbx */
        *--top = (uint64_t)(uintptr_t)fiber_main;      /* r12 */
        *--top = 0;                                    /* r13 */
        *--top = 0;                                    /* r14 */
        *--top = 0;                                    /* r15 */
        fiber->own = top;
    }
#else
    getcontext(&fiber->own);
    fiber->own.uc_stack.ss_sp = fiber->stack;
    fiber->own.uc_stack.ss_size = FIBER_STACK_BYTES;
    makecontext(&fiber->own, (void (*)(void))fiber_entry, 2,
                (unsigned)((uint64_t)(uintptr_t)fiber >> 32),
                (unsigned)(uint64_t)(uintptr_t)fiber);
#endif
    return fiber;
}

void fiber_destroy(struct fiber **pointer)
{
    struct fiber *fiber = *pointer;

    if (fiber != NULL) {
        munmap(fiber->stack, FIBER_STACK_BYTES);
        free(fiber);
        *pointer = NULL;
    }
}

void fiber_resume(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fiber->fake_outer, fiber->stack, FIBER_STACK_BYTES);
#endif
#ifdef __x86_64__
    sim_fiber_switch(&fiber->outer, fiber->own);
#else
    swapcontext(&fiber->outer, &fiber->own);
#endif
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_outer, NULL, NULL);
#endif
}

void fiber_yield(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fiber->fake_own, fiber->outer_bottom,
                                   fiber->outer_bytes);
#endif
#ifdef __x86_64__
    sim_fiber_switch(&fiber->own, fiber->outer);
#else
    swapcontext(&fiber->own, &fiber->outer);
#endif
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_own, &fiber->outer_bottom,
                                    &fiber->outer_bytes);
#endif
}
