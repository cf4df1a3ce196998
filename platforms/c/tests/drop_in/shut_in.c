// A program that has itself killed for every system call that glibc's allocator, its threads and this file do not make.
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 4, BLOCKS = 60000, SIZE = 1000, LONG = 3 << 20 };

static pthread_barrier_t filled, shut_in;

static const long ALLOWED[] = {
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_madvise, SYS_mprotect, SYS_futex, SYS_getrandom, SYS_openat, SYS_read, SYS_write, SYS_close,
    SYS_clock_gettime, SYS_sched_getaffinity, SYS_sched_yield, SYS_rt_sigprocmask, SYS_exit, SYS_exit_group,
};

static void shut_in_now(void) {
    enum { COUNT = sizeof ALLOWED / sizeof *ALLOWED };
    struct sock_filter steps[COUNT + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int index = 0; index < COUNT; index++) {
        steps[1 + index] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ALLOWED[index], COUNT - index, 0);
    }
    steps[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    steps[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {COUNT + 3, steps};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    // All threads.
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0);
}

// Until there is no more: all is looked through for free memory. Each block leads to the one before.
static void use_up(void) {
    void **newest = NULL, **block;
    while ((block = malloc(LONG))) {
        *block = newest;
        newest = block;
    }
    CHECK(newest);
    while ((block = newest)) {
        newest = *block;
        free(block);
    }
}

static void fill_and_empty(void *blocks[], int is_first) {
    for (int index = 0; index < BLOCKS; index++) {
        CHECK((blocks[index] = malloc(SIZE)));
        memset(blocks[index], index, SIZE);
    }
    if (is_first) {
        pthread_barrier_wait(&filled);
        pthread_barrier_wait(&shut_in);
    }
    // So use falls.
    for (int index = 0; index < BLOCKS; index++) free(blocks[index]);
}

static void *work(void *unused) {
    (void)unused;
    void **blocks = malloc(BLOCKS * sizeof *blocks);
    CHECK(blocks);
    for (int round = 0; round < 3; round++) fill_and_empty(blocks, round == 0);
    free(blocks);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&filled, NULL, THREADS + 1) == 0 && pthread_barrier_init(&shut_in, NULL, THREADS + 1) == 0);
    for (int index = 0; index < THREADS; index++) CHECK(pthread_create(&threads[index], NULL, work, NULL) == 0);
    pthread_barrier_wait(&filled);
    struct rlimit limit = {(rlim_t)8 << 30, (rlim_t)8 << 30};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    shut_in_now();
    pthread_barrier_wait(&shut_in);
    for (int round = 0; round < 20; round++) malloc_trim(0);
    for (int index = 0; index < THREADS; index++) CHECK(pthread_join(threads[index], NULL) == 0);
    use_up();
    malloc_trim(0);
    return 0;
}
