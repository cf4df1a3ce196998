// What glibc's functions tell about the heap, and its second names for the functions of C. Run with the library preloaded or linked.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
void __libc_free(void *);
struct mallinfo __libc_mallinfo(void);
int __libc_mallopt(int, int);

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { COUNT = 10000, SIZE = 100, MIB = 1 << 20 };

static int is_between(size_t number, size_t least, size_t most) { return least <= number && number <= most; }

static void numbers(void) {
    static void *blocks[COUNT];
    // So much stays that what is freed below waits for the trim.
    void *stays = malloc(30 * MIB);
    struct mallinfo2 before = mallinfo2();
    for (int index = 0; index < COUNT; index++) CHECK((blocks[index] = malloc(SIZE)));
    void *large = malloc(10 * MIB);
    memset(large, 1, 10 * MIB);
    struct mallinfo2 full = mallinfo2();
    CHECK(is_between(full.uordblks - before.uordblks, COUNT * SIZE, COUNT * SIZE * 9 / 8));
    CHECK(full.hblks == before.hblks + 1 && is_between(full.hblkhd - before.hblkhd, 10 * MIB, 10 * MIB + 64 * 1024));
    CHECK(full.arena == full.uordblks + full.fordblks && full.usmblks == 0);
    struct mallinfo narrow = mallinfo(), again = __libc_mallinfo();
    CHECK((size_t)narrow.uordblks == full.uordblks && (size_t)narrow.hblkhd == full.hblkhd && (size_t)narrow.arena == full.arena);
    CHECK(memcmp(&narrow, &again, sizeof narrow) == 0);
    for (int index = 0; index < COUNT; index++) free(blocks[index]);
    free(large);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks == before.uordblks && after.hblks == before.hblks && after.hblkhd == before.hblkhd);
    CHECK(after.smblks > 0 && after.fsmblks >= after.smblks * 8 && after.ordblks > 0);
    CHECK(after.keepcost >= 10 * MIB && after.fordblks > after.keepcost);
    CHECK(malloc_trim(0) == 1);
    struct mallinfo2 trimmed = mallinfo2();
    CHECK(trimmed.keepcost < MIB && trimmed.arena + 10 * MIB <= after.arena);
    free(stays);
    // What is too big for an int.
    if (SIZE_MAX > UINT32_MAX) {
        void *huge = malloc((size_t)3 << 30);
        CHECK(huge && mallinfo().hblkhd == INT32_MAX && mallinfo2().hblkhd >= (size_t)3 << 30);
        free(huge);
    }
}

static size_t count_of(const char *text, const char *what) {
    size_t count = 0;
    for (; (text = strstr(text, what)); text++) count++;
    return count;
}

static void texts(void) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(1, stream) == EINVAL && malloc_info(-1, stream) == EINVAL);
    void *large = malloc(5 * MIB);
    struct mallinfo2 numbers = mallinfo2();
    CHECK(malloc_info(0, stream) == 0 && fclose(stream) == 0);
    char expected[100];
    snprintf(expected, sizeof expected, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>", numbers.hblks, numbers.hblkhd);
    CHECK(strncmp(text, "<malloc version=\"1\">\n", 21) == 0 && strcmp(text + length - 10, "</malloc>\n") == 0);
    CHECK(strstr(text, expected));
    // A program that reads XML would not read it otherwise.
    CHECK(count_of(text, "<heap") == count_of(text, "</heap>") && count_of(text, "<sizes>") == count_of(text, "</sizes>"));
    CHECK(count_of(text, "<size ") > 0 && count_of(text, "<system type=\"current\"") == 2);
    CHECK(count_of(text, "<") == count_of(text, ">") && count_of(text, "\"") % 2 == 0);
    free(large);
    free(text);

    int to_file = fileno(tmpfile()), kept = dup(STDERR_FILENO);
    CHECK(to_file >= 0 && dup2(to_file, STDERR_FILENO) == STDERR_FILENO);
    malloc_stats();
    dup2(kept, STDERR_FILENO);
    char report[4096] = "";
    CHECK(pread(to_file, report, sizeof report - 1, 0) > 0);
    CHECK(strncmp(report, "used ", 5) == 0 && strstr(report, "block size") && report[strlen(report) - 1] == '\n');
}

static void settings(void) {
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && __libc_mallopt(M_ARENA_MAX, 1) == 1);
    CHECK(malloc_usable_size(malloc(1)) == 8);
}

// Blocks of one name may be given back, asked about and resized by the other.
static void names(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 1; size < 300000; size = size * 3 + 1) {
        void *blocks[] = {__libc_malloc(size), __libc_calloc(size, 1), __libc_memalign(64, size), __libc_valloc(size), __libc_pvalloc(size)};
        for (size_t index = 0; index < sizeof blocks / sizeof *blocks; index++) {
            CHECK(blocks[index] && malloc_usable_size(blocks[index]) >= size);
            memset(blocks[index], 7, size);
            CHECK((blocks[index] = realloc(blocks[index], size + 100)) && ((char *)blocks[index])[size - 1] == 7);
        }
        CHECK((uintptr_t)__libc_memalign(256, size) % 256 == 0 && (uintptr_t)__libc_valloc(size) % page == 0);
        free(blocks[0]);
        free(blocks[1]);
        free(__libc_realloc(blocks[2], size * 2));
        __libc_free(blocks[3]);
        __libc_free(realloc(blocks[4], 10));
        __libc_free(malloc(size));
        __libc_free(NULL);
    }
}

int main(void) {
    // Buffers are allocated before anything is counted.
    puts("all reports as they should be");
    numbers();
    texts();
    settings();
    names();
    return 0;
}
