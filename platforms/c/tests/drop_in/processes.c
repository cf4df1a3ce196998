// Processes, threads and loaded libraries, each under load: run with the library preloaded. The first argument says which.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

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

static void forks(int rounds) {
    pthread_t threads[3];
    for (int index = 0; index < 3; index++) pthread_create(&threads[index], NULL, until_done, (void *)(uintptr_t)index);
    for (int round = 0; round < rounds; round++) {
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

static void on_signal(int number) {
    (void)number;
    free(malloc(40));
}

// Allocates and frees in a child of vfork, which borrows its parent's thread; frees and gives out blocks across the two.
static void in_vforked_child(int round, char **from_parent, char *volatile *for_parent) {
    work(PRELOADED, (unsigned)round, 300);
    CHECK(strcmp(*from_parent, "from the parent") == 0);
    free(*from_parent);
    *for_parent = strdup("from the child");
    if (round % 8 == 0) malloc_trim(0);
    if (round % 4 == 0) {
        // One of its own, which borrows the same thread.
        pid_t grandchild = vfork();
        if (grandchild == 0) {
            work(PRELOADED, (unsigned)round + 1, 100);
            _exit(9);
        }
        expect_end(grandchild, 9);
        work(PRELOADED, (unsigned)round + 2, 100);
    }
    if (round % 16 == 5) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            work(PRELOADED, (unsigned)round + 3, 300);
            _exit(10);
        }
        expect_end(grandchild, 10);
    }
    if (round % 16 == 6) raise(SIGKILL);
    if (round % 16 == 7) execlp("true", "true", (char *)NULL);
}

static void vforks(void) {
    pthread_t threads[3];
    for (int index = 0; index < 3; index++) pthread_create(&threads[index], NULL, until_done, (void *)(uintptr_t)index);
    signal(SIGUSR1, on_signal);
    // All of them, also what the C library does not use.
    sigset_t before, after;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    sigaddset(&before, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &before, &before) == 0 && pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    for (int round = 0; round < 48; round++) {
        char *from_parent = strdup("from the parent");
        char *volatile for_parent = NULL;
        raise(SIGUSR1);
        pid_t child = vfork();
        if (child == 0) {
            in_vforked_child(round, &from_parent, &for_parent);
            CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0 && memcmp(&before, &after, sizeof before) == 0);
            _exit(11);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        int expected = round % 16 == 6 ? SIGKILL : round % 16 == 7 ? 0 : 11 << 8;
        CHECK(status == expected);
        CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0 && memcmp(&before, &after, sizeof before) == 0);
        CHECK(strcmp(for_parent, "from the child") == 0);
        free(for_parent);
        work(PRELOADED, (unsigned)round, 300);
    }
    done = 1;
    for (int index = 0; index < 3; index++) pthread_join(threads[index], NULL);
}

// A child of vfork that cannot be made.
static void no_vfork(void) {
    struct rlimit none = {0, 0};
    // Who may do everything is bound by no limit.
    CHECK(geteuid() != 0 || setuid(65534) == 0);
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    for (int round = 0; round < 100; round++) {
        errno = 0;
        pid_t child = vfork();
        if (child == 0) _exit(1);
        CHECK(child == -1 && errno == EAGAIN);
        work(PRELOADED, (unsigned)round, 100);
    }
}

// A second copy of the library comes, and stays, for its blocks and its thread stay.
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
        work(copy, (unsigned)round, 3000);
        CHECK(dlclose(library) == 0);
        CHECK(usable_size(block) >= 100);
        copy.give_back(block);
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

// A thread that is to be cancelled allocates for the first time. That is not where it ends.
static void while_cancelled(functions use) {
    pthread_cancel(pthread_self());
    use.give_back(use.allocate(100));
    use.give_back(use.allocate(10000000));
}
static void *with_copy(void *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library);
    while_cancelled((functions){(void *(*)(size_t))dlsym(library, "malloc"), (void (*)(void *))dlsym(library, "free")});
    *(char *)path = 0;
    pthread_testcancel();
    return NULL;
}
// The end of the last thread ends the process well.
static void was_cancelled(void) { _exit(9); }
static void cancelled(char *copy) {
    if (!copy) {
        atexit(was_cancelled);
        while_cancelled(PRELOADED);
        // These write to a stream, where a thread may be cancelled; not inside of the library.
        malloc_stats();
        CHECK(malloc_info(0, stderr) == 0);
        _exit(0);
    }
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, with_copy, copy) == 0 && pthread_join(thread, &result) == 0);
    CHECK(*copy == 0 && result == PTHREAD_CANCELED);
}

// Handlers for forks that allocate, some registered before the library's own and some after it.
static void *kept[3];
static void allocate_at_fork(void) {
    for (int index = 0; index < 3; index++) {
        free(kept[index]);
        kept[index] = strdup("allocated by a handler");
        CHECK(kept[index]);
    }
    free(malloc(5000000));
    work(PRELOADED, 5, 500);
    malloc_trim(0);
}
static void register_handlers(void) { CHECK(pthread_atfork(allocate_at_fork, allocate_at_fork, allocate_at_fork) == 0); }
// Where the library is linked, this is called before any of its constructors.
#ifdef BEFORE
__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = register_handlers;
#endif
static void forks_with_handlers(void) {
    register_handlers();
    work(PRELOADED, 1, 1000);
    register_handlers();
    forks(3);
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
    if (count > 1 && strcmp(arguments[1], "cancelled") == 0) return cancelled(arguments[2]), 0;
    CHECK(malloc_usable_size(malloc(1)) == 8);
    if (count > 1 && strcmp(arguments[1], "forks") == 0) return forks(40), 0;
    if (count > 1 && strcmp(arguments[1], "spawns") == 0) return spawns(), 0;
    if (count > 1 && strcmp(arguments[1], "vforks") == 0) return vforks(), 0;
    if (count > 1 && strcmp(arguments[1], "no vfork") == 0) return no_vfork(), 0;
    if (count > 2 && strcmp(arguments[1], "copies") == 0) return copies(arguments[2]), 0;
    if (count > 1 && strcmp(arguments[1], "ends") == 0) return ends(), 0;
    if (count > 1 && strcmp(arguments[1], "forks-with-handlers") == 0) return forks_with_handlers(), 0;
    // What a debug build does not survive and a release build ignores.
    char *block = malloc(100);
    if (count > 1 && strcmp(arguments[1], "twice") == 0) free(block), free(block), ignored();
    static char foreign[100];
    if (count > 1 && strcmp(arguments[1], "foreign") == 0) free(foreign + 16), ignored();
    return 2;
}
