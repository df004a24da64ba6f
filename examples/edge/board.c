/* A bare Cortex-M4 (QEMU's mps2-an386): vectors, start, output by semihosting, and the probe with
 * a count of instructions. SPDX-License-Identifier: MIT */
#include "probe.h"
#include "smile.h"

extern uint32_t stack_top, data_from, data_start, data_end, bss_start, bss_end;
void start(void);
void begin(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void);
} vectors = {&stack_top, start};

/* The FPU is switched on before any function that might push its registers. */
__attribute__((naked)) void start(void)
{
    __asm volatile("ldr r0, =0xE000ED88\n" /* CPACR */
                   "ldr r1, [r0]\n"
                   "orr r1, r1, #0xF00000\n"
                   "str r1, [r0]\n"
                   "dsb\n"
                   "isb\n"
                   "b begin\n");
}

static void call(int what, uintptr_t with)
{
    register int r0 __asm("r0") = what;
    register uintptr_t r1 __asm("r1") = with;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void put(uint32_t value, uint32_t base, char end)
{
    char text[12];
    int at = 11, least = base == 16u ? 8 : 1;
    text[at--] = 0;
    text[at--] = end;
    for (; value || least > 0; value /= base, least--)
        text[at--] = "0123456789ABCDEF"[value % base];
    call(4, (uintptr_t)(text + at + 1)); /* SYS_WRITE0 */
}

#define SYSTICK ((volatile uint32_t *)0xE000E010)

/* SysTick counts down 24 bits: ticks since an earlier count. */
static uint32_t since(uint32_t count)
{
    return (count - SYSTICK[2]) & 0xFFFFFFu;
}

/* Ticks of a million instructions, which QEMU takes equally long for each with -icount. */
static uint32_t a_million(void)
{
    uint32_t left = 500000u, from = SYSTICK[2];
    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(left) : : "cc");
    return since(from);
}

/* Instructions that the model takes for a pixel. */
static uint32_t instructions(smile_strength strength)
{
    static uint8_t row[SMILE_ROW], made[SMILE_ROW];
    uint32_t from, million, taken;
    int y;
    SYSTICK[1] = 0xFFFFFFu;
    SYSTICK[2] = 0u;
    SYSTICK[0] = 5u;
    million = a_million();
    smile_begin(&probe_state, 0u, strength);
    for (y = 0; y < SMILE_ROW; y++) row[y] = (uint8_t)(y / 3);
    from = SYSTICK[2];
    for (y = 0; y < SMILE_SIZE + SMILE_DELAY; y++)
        smile_push(&probe_state, y < SMILE_SIZE ? row : 0, made);
    taken = since(from);
    return (uint32_t)((uint64_t)taken * 1000000u / million / (SMILE_SIZE * SMILE_SIZE));
}

void begin(void)
{
    uint32_t *to = &data_start;
    const uint32_t *from = &data_from;
    while (to < &data_end) *to++ = *from++;
    for (to = &bss_start; to < &bss_end;) *to++ = 0u;
    put(probe(SMILE_ONE / 2), 16u, ' ');
    put(probe(SMILE_ONE), 16u, ' ');
    put(probe(SMILE_STREAM_MOST), 16u, '\n');
    put(instructions(SMILE_ONE), 10u, '\n');
    call(0x18, 0x20026u); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
    for (;;) {}
}
