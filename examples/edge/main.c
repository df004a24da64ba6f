/* A face in a PPM file, 128 x 128, changed and written as another: smile IN.ppm OUT.ppm [STRENGTH]
 * or smile --probe. SPDX-License-Identifier: MIT */
#include "probe.h"
#include "smile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "smile: %s %s\n", what, which);
    return 1;
}

/* The next number of a PPM's head; comments are gone past. -1 where there is none. */
static int number(FILE *file)
{
    int value, letter;
    while ((letter = getc(file)) == '#' || letter == ' ' || (letter >= '\t' && letter <= '\r'))
        while (letter == '#' && (value = getc(file)) != '\n' && value != EOF) {}
    if (letter < '0' || letter > '9') return -1;
    for (value = 0; letter >= '0' && letter <= '9' && value < 100000; letter = getc(file))
        value = 10 * value + letter - '0';
    return value;
}

static int changed(const char *from, const char *to, double strength)
{
    static smile_state state;
    static uint8_t rows[SMILE_SIZE][SMILE_ROW], made[SMILE_SIZE][SMILE_ROW];
    FILE *file = fopen(from, "rb");
    int pushed, got = 0, fits, whole;
    if (!file) return failed("cannot open", from);
    fits = getc(file) == 'P' && getc(file) == '6' && number(file) == SMILE_SIZE &&
           number(file) == SMILE_SIZE && number(file) == 255;
    whole = fits && fread(rows, sizeof rows, 1, file) == 1;
    fclose(file);
    if (!fits) return failed("wants a binary PPM (P6) of the model's size, not", from);
    if (!whole) return failed("too few bytes in", from);
    if (smile_begin(&state, SMILE_HAPPY, (smile_strength)(strength * SMILE_ONE)) != 0)
        return failed("strength must be -1.5 to 1.5 for", from);
    for (pushed = 0; pushed < SMILE_SIZE + SMILE_DELAY; pushed++)
        got += smile_push(&state, pushed < SMILE_SIZE ? rows[pushed] : 0, made[got]) == 1;
    if (got != SMILE_SIZE || !(file = fopen(to, "wb"))) return failed("cannot write", to);
    fprintf(file, "P6\n%d %d\n255\n", SMILE_SIZE, SMILE_SIZE);
    whole = fwrite(made, sizeof made, 1, file) == 1;
    return fclose(file) == 0 && whole ? 0 : failed("cannot write", to);
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--probe") == 0) {
        printf("%08lX %08lX %08lX\n", (unsigned long)probe(SMILE_ONE / 2),
               (unsigned long)probe(SMILE_ONE), (unsigned long)probe(SMILE_STREAM_MOST));
        return 0;
    }
    if (count < 3 || count > 4) return failed("use it so:", "smile IN.ppm OUT.ppm [STRENGTH]");
    return changed(words[1], words[2], count == 4 ? atof(words[3]) : 1.0);
}
