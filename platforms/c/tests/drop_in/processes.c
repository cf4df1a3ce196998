// Processes, threads and loaded libraries, each under load: run with the library preloaded. The first argument says which.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what)                                                     \
    do {                                                                \
        if (!(what)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);  \
            exit(1);                                                    \
        }                                                               \
    } while (0)

extern char **environ;

static atomic_int done;

typedef struct {
    void *(*allocate)(size_t);
    void (*give_back)(void *);
} functions;

static const functions PRELOADED = {malloc, free};

// Allocates, fills, checks and frees blocks of all sizes.
static void work(functions use, unsigned seed, int rounds) {
    enum { HELD = 100 };
    struct {
        unsigned char *block;
        size_t size;
    } held[HELD] = {{NULL, 0}};
    for (int round = 0; round < rounds + HELD; round++) {
        seed = seed * 1664525u + 1013904223u;
        int index = round < rounds ? (int)((seed >> 16) % HELD) : round - rounds;
        if (held[index].block) {
            for (size_t at = 0; at < held[index].size; at += 97) CHECK(held[index].block[at] == (unsigned char)held[index].size);
            use.give_back(held[index].block);
            held[index].block = NULL;
        }
        if (round < rounds) {
            held[index].size = 1 + (seed >> 8) % (seed % 64 == 0 ? 200000 : 2000);
            held[index].block = use.allocate(held[index].size);
            CHECK(held[index].block);
            memset(held[index].block, (int)held[index].size, held[index].size);
        }
    }
}

static void *until_done(void *seed) {
    while (!done) work(PRELOADED, (unsigned)(uintptr_t)seed, 1000);
    return NULL;
}

static void *once(void *seed) {
    work(PRELOADED, (unsigned)(uintptr_t)seed, 300);
    // For whoever joins this thread.
    return strdup("a thread's last block");
}

static void expect_end(pid_t child, int code) {
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void churn(int threads, int rounds) {
    pthread_t names[threads];
    for (int round = 0; round < rounds; round++) {
        for (int index = 0; index < threads; index++) {
            CHECK(pthread_create(&names[index], NULL, once, (void *)(uintptr_t)(round * threads + index)) == 0);
        }
        for (int index = 0; index < threads; index++) {
            void *text;
            CHECK(pthread_join(names[index], &text) == 0);
            CHECK(strcmp(text, "a thread's last block") == 0);
            free(text);
        }
    }
}

static void in_child(void) {
    alarm(60);
    work(PRELOADED, (unsigned)getpid(), 2000);
    churn(2, 2);
    pid_t grandchild = fork();
    if (grandchild == 0) {
        work(PRELOADED, (unsigned)getpid(), 500);
        _exit(4);
    }
    expect_end(grandchild, 4);
}

static void forks(void) {
    pthread_t threads[3];
    for (int index = 0; index < 3; index++) pthread_create(&threads[index], NULL, until_done, (void *)(uintptr_t)index);
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (child == 0) {
            in_child();
            // With all exit handlers.
            exit(3);
        }
        expect_end(child, 3);
    }
    done = 1;
    for (int index = 0; index < 3; index++) pthread_join(threads[index], NULL);
}

static void spawns(void) {
    pthread_t threads[2];
    for (int index = 0; index < 2; index++) pthread_create(&threads[index], NULL, until_done, (void *)(uintptr_t)index);
    for (int round = 0; round < 40; round++) {
        pid_t child;
        char *arguments[] = {"sh", "-c", "exit 5", NULL};
        CHECK(posix_spawnp(&child, "sh", NULL, NULL, arguments, environ) == 0);
        expect_end(child, 5);
        child = vfork();
        if (child == 0) {
            execvp("sh", arguments);
            _exit(1);
        }
        expect_end(child, 5);
        CHECK(WEXITSTATUS(system("exit 6")) == 6);
        FILE *pipe = popen("echo a line", "r");
        char line[20];
        CHECK(pipe && fgets(line, sizeof line, pipe) && strcmp(line, "a line\n") == 0);
        CHECK(pclose(pipe) == 0);
    }
    done = 1;
    for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
}

// A second copy of the library comes and goes.
static void copies(const char *path) {
    pthread_t thread;
    pthread_create(&thread, NULL, until_done, (void *)7);
    for (int round = 0; round < 30; round++) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) fprintf(stderr, "%s\n", dlerror());
        CHECK(library);
        functions copy = {(void *(*)(size_t))dlsym(library, "malloc"), (void (*)(void *))dlsym(library, "free")};
        size_t (*usable_size)(void *) = (size_t(*)(void *))dlsym(library, "malloc_usable_size");
        CHECK(copy.allocate && copy.allocate != malloc && copy.give_back && usable_size);
        void *block = copy.allocate(100);
        CHECK(usable_size(block) >= 100 && malloc_usable_size(block) == 0);
        copy.give_back(block);
        work(copy, (unsigned)round, 3000);
        CHECK(dlclose(library) == 0);
        CHECK(!dlopen(path, RTLD_NOW | RTLD_NOLOAD));
        pid_t child = fork();
        if (child == 0) _exit(7);
        expect_end(child, 7);
    }
    done = 1;
    pthread_join(thread, NULL);
}

// The first allocation of all comes from inside pthread_atfork.
static void nothing(void) {}
static void handlers(void) {
    for (int round = 0; round < 1000; round++) CHECK(pthread_atfork(nothing, nothing, nothing) == 0);
    pid_t child = fork();
    if (child == 0) _exit(8);
    expect_end(child, 8);
}

static pthread_key_t key;
static void at_thread_end(void *block) {
    free(block);
    free(malloc(50));
}
static void *with_a_key(void *ignored) {
    (void)ignored;
    pthread_setspecific(key, malloc(200));
    return NULL;
}
static void *late;
static void at_exit(void) {
    free(late);
    work(PRELOADED, 1, 1000);
}
__attribute__((destructor)) static void at_unload(void) { work(PRELOADED, 2, 1000); }

static void ends(void) {
    pthread_key_create(&key, at_thread_end);
    for (int round = 0; round < 300; round++) {
        pthread_t thread;
        pthread_create(&thread, NULL, with_a_key, NULL);
        pthread_join(thread, NULL);
    }
    churn(8, 50);
    late = malloc(300);
    atexit(at_exit);
    // Some thread is still at it when the process exits.
    pthread_t thread;
    pthread_create(&thread, NULL, until_done, (void *)3);
    exit(0);
}

// Leaves at once: after a double free two owners share a block.
static void ignored(void) {
    puts("ignored");
    fflush(stdout);
    _exit(0);
}

int main(int count, char **arguments) {
    // Before anything else allocates.
    if (count > 1 && strcmp(arguments[1], "handlers") == 0) return handlers(), 0;
    CHECK(malloc_usable_size(malloc(1)) == 8);
    if (count > 1 && strcmp(arguments[1], "forks") == 0) return forks(), 0;
    if (count > 1 && strcmp(arguments[1], "spawns") == 0) return spawns(), 0;
    if (count > 2 && strcmp(arguments[1], "copies") == 0) return copies(arguments[2]), 0;
    if (count > 1 && strcmp(arguments[1], "ends") == 0) return ends(), 0;
    // What a debug build does not survive and a release build ignores.
    char *block = malloc(100);
    if (count > 1 && strcmp(arguments[1], "twice") == 0) free(block), free(block), ignored();
    static char foreign[100];
    if (count > 1 && strcmp(arguments[1], "foreign") == 0) free(foreign + 16), ignored();
    return 2;
}
