// A library whose constructor waits for a thread that allocates. The loader has its lock while the constructor runs, if it loads the
// library for a running program.
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static char *from_thread;

static void *allocate(void *ignored) {
    free(malloc(100000));
    from_thread = strcpy(malloc(30), "allocated while loading");
    return ignored;
}

__attribute__((constructor)) static void wait_for_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate, NULL) == 0) pthread_join(thread, NULL);
}

const char *waits(void) { return from_thread; }
