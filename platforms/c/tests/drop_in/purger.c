// Processes that fall idle: memory that goes back without a call, and the thread that gives it back.

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { BLOCKS = 60000, SIZE = 1000, KEPT = 20 };

// Weak: a program that is linked without the library has none.
int coreheap_purger(int is_wanted) __attribute__((weak));

static long resident_kib(void) {
    long all, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%ld %ld", &all, &resident) == 2 && fclose(file) == 0);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

// How many threads there are, and how many are purgers.
static void count(int *threads, int *purgers) {
    *threads = *purgers = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        char name[300], text[32] = "";
        snprintf(name, sizeof name, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(name, "r");
        if (file) {
            CHECK(fgets(text, sizeof text, file) && fclose(file) == 0);
            *purgers += strcmp(text, "coreheap-purger\n") == 0;
            ++*threads;
        }
    }
    closedir(tasks);
}

static int purgers(void) {
    int threads, purgers;
    count(&threads, &purgers);
    return purgers;
}

static char **blocks;

static void fill(void) {
    blocks = calloc(BLOCKS, sizeof *blocks);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK((blocks[i] = malloc(SIZE)));
        memset(blocks[i], 1, SIZE);
    }
}

// Keeps some of each page.
static void thin_out(void) {
    for (int i = 0; i < BLOCKS; i++) {
        if (i % KEPT) {
            free(blocks[i]);
        }
    }
}

static volatile pid_t sleeper;

static void *sleep_on(void *nothing) {
    sleeper = gettid();
    for (;;) {
        pause();
    }
    return nothing;
}

static void add_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sleep_on, NULL) == 0);
}

// Waits for so many purgers, at most some seconds.
static int comes_to(int wanted) {
    for (int i = 0; i < 100 && purgers() != wanted; i++) {
        usleep(50000);
    }
    return purgers() == wanted;
}

// Nothing is called after the blocks were freed.
static void give_back(void) {
    fill();
    CHECK(comes_to(1));
    long full = resident_kib();
    thin_out();
    for (int i = 0; i < 100 && resident_kib() > full / 2; i++) {
        usleep(50000);
    }
    CHECK(resident_kib() <= full / 2);
    for (int i = 0; i < BLOCKS; i += KEPT) {
        CHECK(blocks[i][0] == 1 && blocks[i][SIZE - 1] == 1);
        free(blocks[i]);
    }
}

static void none(void) {
    fill();
    thin_out();
    add_thread();
    fill();
    int threads, purgers;
    count(&threads, &purgers);
    CHECK(threads == 2 && purgers == 0);
}

static void on_and_off(void) {
    CHECK(coreheap_purger && coreheap_purger(0) == 0 && purgers() == 0);
    for (int round = 0; round < 2; round++) {
        CHECK(coreheap_purger(1) == 0 && coreheap_purger(1) == 0 && comes_to(1));
        give_back();
        CHECK(coreheap_purger(0) == 0 && comes_to(0));
    }
}

// The process ends when the program's threads have.
static void leave(void) {
    CHECK(comes_to(1));
    alarm(20);
    pthread_exit(NULL);
}

static volatile pid_t handled_by;

static void handle(int signal) {
    (void)signal;
    handled_by = gettid();
}

static void signals(void) {
    add_thread();
    CHECK(comes_to(1));
    signal(SIGUSR1, handle);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    // Blocked here, so it goes to the other thread.
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 100 && !handled_by; i++) {
        usleep(50000);
    }
    CHECK(handled_by == sleeper);
}

static void forks(void) {
    CHECK(comes_to(1));
    pid_t child = fork();
    if (child == 0) {
        CHECK(purgers() == 0);
        CHECK(coreheap_purger(1) == 0 && comes_to(1));
        give_back();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(purgers() == 1);
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"give back", give_back}, {"none", none}, {"on and off", on_and_off}, {"leave", leave}, {"signals", signals}, {"forks", forks}};
    CHECK(count == 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, arguments[1]) == 0) {
            cases[i].run();
            return 0;
        }
    }
    return 2;
}
