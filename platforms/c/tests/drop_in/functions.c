// What C, POSIX and glibc promise of the allocation functions: return values, errno, alignment, contents. Built without the compiler's
// knowledge of these functions. Run with the library preloaded or linked.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

void cfree(void *) __attribute__((weak));
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

#define UNTOUCHED 77
// Evaluates a call with errno set to something that no call sets.
#define KEEPS_ERRNO(call)          \
    do {                           \
        errno = UNTOUCHED;         \
        call;                      \
        CHECK(errno == UNTOUCHED); \
    } while (0)
#define REFUSED(call, error)      \
    do {                          \
        errno = UNTOUCHED;        \
        CHECK((call) == NULL);    \
        CHECK(errno == (error));  \
    } while (0)

static const size_t TOO_MUCH[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 8, SIZE_MAX - 15, SIZE_MAX - 16,
                                  SIZE_MAX - 4095, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX
#if SIZE_MAX > UINT32_MAX
                                  // More than any machine has.
                                  , (size_t)1 << 46, (size_t)1 << 47, (size_t)1 << 50
#endif
};
// Not constants, so that the compiler does not see what is wrong with them.
static volatile size_t most = SIZE_MAX, half = (size_t)1 << (sizeof(size_t) * 4);
#define COUNT(array) (sizeof(array) / sizeof *(array))

static int is_aligned(void *block, size_t align) { return (uintptr_t)block % align == 0; }

static void fill(void *block, size_t size, int seed) {
    for (size_t index = 0; index < size; index++) ((unsigned char *)block)[index] = (unsigned char)(index * 7 + seed);
}

static int is_filled(void *block, size_t size, int seed) {
    for (size_t index = 0; index < size; index++)
        if (((unsigned char *)block)[index] != (unsigned char)(index * 7 + seed)) return 0;
    return 1;
}

static int is_zero(void *block, size_t size) {
    for (size_t index = 0; index < size; index++)
        if (((unsigned char *)block)[index]) return 0;
    return 1;
}

// Sizes around every kind of boundary.
static size_t next_size(size_t size) {
    return size < 200 ? size + 1 : size < 40000 ? size + size / 16 - size / 16 % 8 + (size % 3) : size * 2 + 1;
}

static void sizes(void) {
    for (size_t size = 0; size < (8 << 20); size = next_size(size)) {
        void *blocks[3];
        for (int index = 0; index < 3; index++) {
            KEEPS_ERRNO(blocks[index] = malloc(size));
            CHECK(blocks[index] && is_aligned(blocks[index], size <= 8 ? 8 : 16));
            CHECK(malloc_usable_size(blocks[index]) >= size && malloc_usable_size(blocks[index]) >= 8);
            fill(blocks[index], malloc_usable_size(blocks[index]), index);
        }
        CHECK(blocks[0] != blocks[1] && blocks[1] != blocks[2] && blocks[0] != blocks[2]);
        for (int index = 0; index < 3; index++) {
            CHECK(is_filled(blocks[index], malloc_usable_size(blocks[index]), index));
            KEEPS_ERRNO(free(blocks[index]));
        }
        void *zeroed;
        KEEPS_ERRNO(zeroed = calloc(size, 1));
        CHECK(zeroed && is_zero(zeroed, size) && is_aligned(zeroed, size <= 8 ? 8 : 16));
        fill(zeroed, size, 1);
        free(zeroed);
    }
    KEEPS_ERRNO(free(NULL));
    CHECK(malloc_usable_size(NULL) == 0);
}

static void refusals(void) {
    void *block = malloc(100), *kept = (void *)UNTOUCHED;
    fill(block, 100, 5);
    for (size_t index = 0; index < COUNT(TOO_MUCH); index++) {
        size_t size = TOO_MUCH[index];
        REFUSED(malloc(size), ENOMEM);
        REFUSED(calloc(1, size), ENOMEM);
        REFUSED(calloc(size, 1), ENOMEM);
        REFUSED(realloc(NULL, size), ENOMEM);
        REFUSED(realloc(block, size), ENOMEM);
        REFUSED(reallocarray(block, 1, size), ENOMEM);
        REFUSED(aligned_alloc(64, size), ENOMEM);
        REFUSED(memalign(64, size), ENOMEM);
        REFUSED(valloc(size), ENOMEM);
        REFUSED(pvalloc(size), ENOMEM);
        KEEPS_ERRNO(CHECK(posix_memalign(&kept, 64, size) == ENOMEM));
        CHECK(kept == (void *)UNTOUCHED);
    }
    CHECK(is_filled(block, 100, 5));
    // Products that overflow, to 0 and to something small.
    REFUSED(calloc(half, half), ENOMEM);
    REFUSED(calloc(half + 1, half), ENOMEM);
    REFUSED(calloc(most, 2), ENOMEM);
    REFUSED(reallocarray(block, half, half), ENOMEM);
    REFUSED(reallocarray(NULL, most / 2, 4), ENOMEM);
    CHECK(is_filled(block, 100, 5));
    free(block);
}

static void reallocations(void) {
    void *block;
    KEEPS_ERRNO(block = realloc(NULL, 10));
    CHECK(block && malloc_usable_size(block) >= 10);
    void *other = malloc(10);
    CHECK(other != block);
    KEEPS_ERRNO(CHECK(realloc(block, 0) == NULL));
    free(other);
    KEEPS_ERRNO(block = realloc(NULL, 0));
    CHECK(block);
    KEEPS_ERRNO(CHECK(reallocarray(block, 0, 7) == NULL));
    // Up and down through every boundary.
    size_t size = 1, old = 1;
    block = malloc(1);
    fill(block, 1, 1);
    for (int round = 0; round < 2; round++) {
        for (; round == 0 ? size < (16 << 20) : size > 0; size = round == 0 ? next_size(size) : size * 9 / 10) {
            void *moved;
            KEEPS_ERRNO(moved = realloc(block, size));
            CHECK(moved && is_aligned(moved, size <= 8 ? 8 : 16) && malloc_usable_size(moved) >= size);
            CHECK(is_filled(moved, old < size ? old : size, 1));
            fill(moved, size, 1);
            block = moved, old = size;
        }
    }
    KEEPS_ERRNO(free(block));
    // A block that need not move stays, and one that would waste most of itself does not.
    block = malloc(1000);
    size_t usable = malloc_usable_size(block);
    CHECK(realloc(block, usable) == block && realloc(block, usable / 2 + 1) == block);
    block = realloc(block, 100);
    CHECK(malloc_usable_size(block) < 200);
    block = reallocarray(block, 100, 30);
    CHECK(malloc_usable_size(block) >= 3000);
    free(block);
    // Blocks that were allocated with an alignment.
    for (size_t align = 8; align <= (1 << 20); align *= 2) {
        block = aligned_alloc(align, 300);
        fill(block, 300, 9);
        for (size_t size = 200; size < 3000000; size *= 3) {
            block = realloc(block, size);
            CHECK(block && is_filled(block, 200, 9));
        }
        free(block);
    }
}

static void alignments(void) {
    for (size_t align = 1; align <= (64 << 20); align *= 2) {
        for (size_t size = 0; size < 300000; size = size * 5 + 1) {
            void *blocks[4] = {NULL, NULL, NULL, NULL};
            KEEPS_ERRNO(blocks[0] = aligned_alloc(align, size));
            KEEPS_ERRNO(blocks[1] = memalign(align, size));
            KEEPS_ERRNO(blocks[2] = memalign(align - align / 4, size));
            if (align >= sizeof(void *)) {
                KEEPS_ERRNO(CHECK(posix_memalign(&blocks[3], align, size) == 0));
                CHECK(blocks[3]);
            }
            for (int index = 0; index < 4; index++) {
                CHECK(index == 3 || blocks[index]);
                CHECK(is_aligned(blocks[index], align) && is_aligned(blocks[index], size <= 8 ? 8 : 16));
                CHECK(!blocks[index] || malloc_usable_size(blocks[index]) >= size);
                if (blocks[index]) fill(blocks[index], size, index);
            }
            for (int index = 0; index < 4; index++) {
                CHECK(!blocks[index] || is_filled(blocks[index], size, index));
                KEEPS_ERRNO(free(blocks[index]));
            }
        }
    }
    static const size_t NO_POWERS[] = {0, 3, 24, 4095, SIZE_MAX, SIZE_MAX / 2};
    void *kept = (void *)UNTOUCHED;
    for (size_t index = 0; index < COUNT(NO_POWERS); index++) {
        REFUSED(aligned_alloc(NO_POWERS[index], 64), EINVAL);
        KEEPS_ERRNO(CHECK(posix_memalign(&kept, NO_POWERS[index], 64) == EINVAL));
    }
    for (size_t align = 1; align < sizeof(void *); align *= 2) KEEPS_ERRNO(CHECK(posix_memalign(&kept, align, 64) == EINVAL));
    CHECK(kept == (void *)UNTOUCHED);
    REFUSED(memalign(SIZE_MAX / 2 + 2, 64), EINVAL);
    REFUSED(memalign(SIZE_MAX / 2 + 1, 64), ENOMEM);
    REFUSED(aligned_alloc(SIZE_MAX / 2 + 1, 64), ENOMEM);
#if SIZE_MAX > UINT32_MAX
    for (size_t align = (size_t)1 << 46; align != 0; align *= 2) {
        REFUSED(aligned_alloc(align, 10), ENOMEM);
        REFUSED(memalign(align, 10), ENOMEM);
        KEEPS_ERRNO(CHECK(posix_memalign(&kept, align, 10) == ENOMEM));
    }
#endif
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t size = 0; size < 5 * page; size += 999) {
        void *whole = valloc(size), *pages = pvalloc(size);
        CHECK(whole && pages && is_aligned(whole, page) && is_aligned(pages, page));
        CHECK(malloc_usable_size(pages) >= (size + page - 1) / page * page);
        free(whole);
        free(pages);
    }
}

static void sized_frees(void) {
    if (free_sized) {
        KEEPS_ERRNO(free_sized(malloc(100), 100));
        KEEPS_ERRNO(free_sized(NULL, 0));
        KEEPS_ERRNO(free_aligned_sized(aligned_alloc(256, 512), 256, 512));
        KEEPS_ERRNO(free_aligned_sized(NULL, 64, 0));
    }
    if (cfree) KEEPS_ERRNO(cfree(malloc(10)));
}

// Memory that was dirty is zero when calloc gives it out again.
static void zeroes(void) {
    for (size_t size = 1; size < (4 << 20); size = size * 3 + 1) {
        for (int round = 0; round < 20; round++) {
            void *block = malloc(size);
            memset(block, 0xa5, malloc_usable_size(block));
            free(block);
            block = calloc(size, 1);
            CHECK(is_zero(block, size));
            memset(block, 0x5a, size);
            free(block);
        }
    }
}

static void from_a_handler(int signal) {
    (void)signal;
    for (size_t size = 1; size < 100000; size *= 3) free(malloc(size));
}

static void handlers(void) {
    signal(SIGUSR1, from_a_handler);
    for (size_t size = 1; size < 1000; size++) {
        void *block = malloc(size);
        raise(SIGUSR1);
        free(block);
    }
}

static void free_at_exit(void) {
    void *block = malloc(1000);
    CHECK(block);
    free(block);
}

static void *left_over;
__attribute__((destructor)) static void free_left_over(void) { free(left_over); }

static char *before_main;
__attribute__((constructor)) static void allocate_before_main(void) { before_main = strdup("before main"); }

int main(void) {
    // Nobody else's smallest block.
    CHECK(malloc_usable_size(malloc(1)) == 8);
    CHECK(strcmp(before_main, "before main") == 0);
    free(before_main);
    atexit(free_at_exit);
    left_over = malloc(100);
    sizes();
    refusals();
    reallocations();
    alignments();
    sized_frees();
    zeroes();
    handlers();
    // One block waits for the next, or has gone back by itself.
    int trimmed = 0;
    for (int i = 0; i < 20 && !trimmed; i++) {
        free(malloc(40000));
        trimmed = malloc_trim(0);
    }
    CHECK(trimmed == 1);
    puts("all functions as they should be");
    return 0;
}
