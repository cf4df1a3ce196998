// Uses up all addresses that it may have, frees everything, and goes on: with threads, each of which needs a stack.
#include <pthread.h>
#include <string.h>

#include "check.h"

enum { THREADS = 8, MOST = 1 << 20 };

static void *blocks[MOST];

static size_t fill(size_t size, size_t least) {
    size_t count = 0;
    while (size >= least && count < MOST) {
        blocks[count] = malloc(size);
        if (blocks[count]) {
            memset(blocks[count++], 1, size < 4096 ? size : 4096);
        } else {
            size /= 2;
        }
    }
    return count;
}

static void empty(size_t count) {
    while (count > 0) free(blocks[--count]);
}

static void *work(void *unused) {
    (void)unused;
    void *block = malloc(10);
    CHECK(block);
    return block;
}

static void start_threads(void) {
    pthread_t threads[THREADS];
    pthread_attr_t stacks;
    CHECK(pthread_attr_init(&stacks) == 0 && pthread_attr_setstacksize(&stacks, 8 << 20) == 0);
    for (int index = 0; index < THREADS; index++) CHECK(pthread_create(&threads[index], &stacks, work, NULL) == 0);
    for (int index = 0; index < THREADS; index++) {
        void *block;
        CHECK(pthread_join(threads[index], &block) == 0);
        free(block);
    }
}

static void grow(void) {
    size_t size = 4096;
    char *block = malloc(size);
    CHECK(block);
    while (size < 20 << 20) {
        block[size - 1] = (char)(size / 4096);
        char *longer = realloc(block, size + size / 4);
        CHECK(longer && longer[size - 1] == (char)(size / 4096));
        block = longer;
        size += size / 4;
    }
    while (size > 4096) CHECK((block = realloc(block, size /= 2)));
    free(block);
}

int main(void) {
    for (int round = 0; round < 3; round++) {
        empty(fill(1 << 20, 64));
        start_threads();
        grow();
        empty(fill(64 << 20, 1 << 20));
        start_threads();
    }
    return 0;
}
