/* Feeds TestU01's batteries from standard input.
 *
 * In: 64-bit words, little-endian, as `kiln random --raw` writes them; each gives two 32-bit numbers, the low half first. Out: TestU01's report, and
 * the number of bytes that it took. Holds: an input that ends early is an error, never a shorter test.
 *
 *     cc -O2 benches/random/testu01.c -o /tmp/testu01 -ltestu01 -ltestu01probdist -ltestu01mylib -lm
 *     kiln random --raw --generator philox --streams 1 | /tmp/testu01 crush
 *
 * Batteries: small (Small Crush), crush (Crush, about 137 GB), big (Big Crush, about 1 TB).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <testu01/bbattery.h>
#include <testu01/unif01.h>

enum { WORDS = 1 << 16 };

static uint32_t words[WORDS];
static size_t next = WORDS;
static uint64_t bytes;

static unsigned int word(void) {
    if (next == WORDS) {
        if (fread(words, sizeof words[0], WORDS, stdin) != WORDS) {
            fprintf(stderr, "the input ended after %llu bytes\n", (unsigned long long)bytes);
            exit(1);
        }
        next = 0;
    }
    bytes += sizeof words[0];
    return words[next++];
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: testu01 small|crush|big\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    unif01_Gen *generator = unif01_CreateExternGenBits("standard input", word);
    if (strcmp(arguments[1], "small") == 0) {
        bbattery_SmallCrush(generator);
    } else if (strcmp(arguments[1], "crush") == 0) {
        bbattery_Crush(generator);
    } else if (strcmp(arguments[1], "big") == 0) {
        bbattery_BigCrush(generator);
    } else {
        fprintf(stderr, "no battery is called %s\n", arguments[1]);
        return 2;
    }
    unif01_DeleteExternGenBits(generator);
    printf("bytes taken: %llu\n", (unsigned long long)bytes);
    return 0;
}
